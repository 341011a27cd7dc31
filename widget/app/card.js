/**
 * The card by which the customer proves who he is: asks for the booking, then for the code.
 *
 * Says the same whether the booking exists or not.
 *
 * @module
 */
import { html, useEffect, useRef, useState } from '../../static/shared/preact.js';
import { countdown } from '../../static/shared/time.js';
import { Call } from './controls.js';
import { Icon } from './icons.js';

/** @typedef {import('./view.js').Props} Props */
/** @typedef {import('../../static/shared/frames.js').CheckCard} CheckCard */
/** @typedef {Props & {check: CheckCard}} CardProps */

const DIGITS = 8;

/** @param {Props} props */
export function Check(props) {
  const check = props.state.view?.check;
  if (!check || check.state === 'verified' || props.state.view?.frozen) return '';
  return html`<section class="check" aria-label=${props.words.check.title} key=${check.id}>
    ${check.state === 'offered' ? html`<${Offer} ...${props} check=${check} />` : check.state === 'started' ? html`<${Code} ...${props} check=${check} />` : html`<${Over} ...${props} check=${check} />`}
  </section>`;
}

/** @param {CardProps} props */
function Offer(props) {
  const { state, talk, words } = props;
  const [reference, setReference] = useState('');
  const isBusy = state.asking?.deed === 'start_check';
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    if (reference.trim() && !isBusy) talk.ask('start_check', { reference: reference.trim() });
  };
  return html`<form onSubmit=${onSubmit}>
    <h2><${Icon} name="shield" />${words.check.title}</h2>
    <p>${words.check.why}</p>
    <label>${words.check.reference}
      <input class="reference" value=${reference} maxlength="40" autocomplete="off" autocapitalize="characters" spellcheck=${false}
        onInput=${(/** @type {any} */ event) => setReference(event.target.value)} /></label>
    <${Failure} ...${props} />
    <button class="primary wide" disabled=${!reference.trim() || isBusy}>${words.check.send}</button>
    <${OtherWay} ...${props} />
  </form>`;
}

/** @param {CardProps} props */
function Code(props) {
  const { state, talk, words, check } = props;
  const [code, setCode] = useState('');
  const left = useTimeLeft((check.until ?? 0) - state.skew);
  const deed = state.asking?.deed;
  const tries = check.tries_left ?? 0;
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  useEffect(() => {
    if (document.activeElement === document.body) field.current?.focus(); // the form before this one had it
  }, []);
  useEffect(() => {
    if (state.checkNote !== 'wrong') return;
    setCode('');
    field.current?.focus();
  }, [tries, state.checkNote]);
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    if (code.length === DIGITS && !deed) talk.ask('code', { check: check.id, code });
  };
  /** @param {any} event */
  const onInput = ({ target }) => {
    // Letters from a letter pasted whole fall away; digits of any script are read as digits.
    const digits = target.value.normalize('NFKC').replace(/\D/g, '').slice(0, DIGITS);
    target.value = digits;
    setCode(digits);
  };
  return html`<form onSubmit=${onSubmit}>
    <h2><${Icon} name="shield" />${words.check.title}</h2>
    <p>${words.check.sent}</p>
    <label>${words.check.code}
      <input class="code" ref=${field} value=${code} inputmode="numeric" autocomplete="one-time-code" spellcheck=${false} onInput=${onInput}
        aria-invalid=${state.checkNote === 'wrong' ? 'true' : undefined} aria-describedby="tries" /></label>
    <p id="tries" class="facts"><span role="timer">${words.check.time(countdown(left))}</span><span>${words.check.tries(tries)}</span></p>
    <div role="alert">${state.checkNote === 'wrong' && html`<p class="bad"><${Icon} name="warn" />${words.check.wrong} ${words.check.tries(tries)}.</p>`}</div>
    <div role="status">${state.checkNote === 'resent' && html`<p class="soft">${words.check.resent}</p>`}</div>
    <${Failure} ...${props} />
    <button class="primary wide" disabled=${code.length !== DIGITS || deed === 'code' || left <= 0}>${words.check.verify}</button>
    <div class="row">
      <button type="button" class="link" disabled=${!check.sends_left || Boolean(deed)} onClick=${() => talk.ask('resend', { check: check.id })}>${words.check.resend}</button>
    </div>
    <${OtherWay} ...${props} />
  </form>`;
}

/** Failed, run out, or stopped by whoever got the letter. @param {CardProps} props */
function Over(props) {
  const { words, check, phone } = props;
  const which = /** @type {'failed'|'expired'|'killed'} */ (check.state);
  return html`<h2><${Icon} name="warn" />${words.check[`${which}Title`]}</h2>
    <p>${words.check[which]}</p>
    <${Call} words=${words} phone=${phone} />`;
}

/** What the server refused, in our words. @param {CardProps} props */
function Failure({ state, words }) {
  const { failure } = state;
  return html`<div role="alert">${failure && failure.deed !== 'end' && html`<p class="bad"><${Icon} name="warn" />${words.errors[failure.code] ?? words.unknownError}</p>`}</div>`;
}

/** @param {CardProps} props */
function OtherWay({ words, phone }) {
  return phone && html`<details><summary>${words.check.other}</summary><p>${words.check.otherWay}</p><${Call} words=${words} phone=${phone} /></details>`;
}

/** @param {number} until epoch seconds of our own clock @returns {number} seconds */
function useTimeLeft(until) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 1_000);
    return () => clearInterval(timer);
  }, [until]);
  return Math.max(0, until - now);
}
