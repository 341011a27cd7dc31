/**
 * The card by which the customer proves who he is: asks for the booking, then for the code.
 *
 * Says the same whether the booking exists or not.
 *
 * @module
 */
import { Call, Icon, countdown, html, useEffect, useRef, useState } from './kit.js';

/** @typedef {import('./cards.js').CardProps} Props */
/** @typedef {import('../../static/shared/frames.js').CheckCard} CheckCard */
/** @typedef {Props & {check: CheckCard, onSend: () => void}} CheckProps */

const DIGITS = 8;

/** The check that can still succeed. `isAnew`: the last one cannot, and the customer wants another; `onSend`: a code is asked for. @param {Props & {isAnew: boolean, onSend: () => void}} props */
export function Check(props) {
  const { check, state, frozen } = props.state.view ?? {};
  const [other, setOther] = useState(''); // the running check in whose place one for another booking is wanted
  const isInstead = check?.state === 'started' && check.id === other;
  const isOffer = check?.state === 'offered' || props.isAnew || isInstead;
  if (!check || frozen || state === 'closed' || !(isOffer || check.state === 'started')) return '';
  return html`<section class="check" aria-label=${props.words.check.title} key=${check.id}>
    ${isOffer ? html`<${Offer} ...${props} check=${check} onBack=${isInstead && (() => setOther(''))} />` : html`<${Code} ...${props} check=${check} onOther=${() => setOther(check.id)} />`}
  </section>`;
}

/** @param {CheckProps & {onBack: false|(() => void)}} props `onBack`: to the code that is awaited */
function Offer(props) {
  const { state, talk, words, check, onBack, onSend } = props;
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  useEffect(() => {
    if (onBack) field.current?.focus();
  }, []);
  const [reference, setReference] = useState((!onBack && check.reference) || '');
  const isBusy = state.asking?.deed === 'start_check';
  const isWrong = state.failure?.code === 'bad_reference';
  useEffect(() => {
    if (isWrong) field.current?.focus();
  }, [state.failure]);
  const isKnown = check.state === 'offered' && check.named;
  const canSend = (isKnown || reference.trim()) && !isBusy;
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    if (!canSend) return;
    talk.ask('start_check', { reference: reference.trim() });
    onSend();
  };
  return html`<form onSubmit=${onSubmit}>
    <h2><${Icon} name="shield" />${words.check.title}</h2>
    <p>${words.check.why}</p>
    ${!isKnown && html`<label>${words.check.reference}
      <input class="reference" ref=${field} value=${reference} maxlength="40" autocomplete="off" autocapitalize="characters" spellcheck=${false}
        aria-invalid=${isWrong ? 'true' : undefined} onInput=${(/** @type {any} */ event) => setReference(event.target.value)} /></label>`}
    <${Failure} ...${props} />
    <button class="primary wide" disabled=${!canSend}>${words.check.send}</button>
    ${onBack && html`<div class="row"><button type="button" class="link" onClick=${onBack}>${words.check.back}</button></div>`}
    <${OtherWay} ...${props} />
  </form>`;
}

/** @param {CheckProps & {onOther: () => void}} props */
function Code(props) {
  const { state, talk, words, check, onOther } = props;
  const [code, setCode] = useState('');
  const left = useTimeLeft((check.until ?? 0) - state.skew);
  const deed = state.asking?.deed;
  const tries = check.tries_left ?? 0;
  const isWrong = state.checkNote === 'wrong' && !code; // until the next one is begun
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
    ${check.reference && html`<p>${words.check.reference} <strong>${check.reference}</strong></p>`}
    <label>${words.check.code}
      <span class="cells"><input class="code" ref=${field} value=${code} inputmode="numeric" autocomplete="one-time-code" spellcheck=${false} onInput=${onInput}
        aria-invalid=${isWrong ? 'true' : undefined} aria-describedby="tries" /></span></label>
    <p id="tries" class="facts"><span role="timer">${words.check.time(countdown(left))}</span><span>${words.check.tries(tries)}</span></p>
    <div role="alert">${isWrong && html`<p class="bad"><${Icon} name="warn" />${words.check.wrong}<span class="unseen"> (${words.check.tries(tries)})</span></p>`}</div>
    <div role="status">${state.checkNote === 'resent' && html`<p class="soft">${words.check.resent}</p>`}${check.late && html`<p class="late">${words.check.late}</p>`}</div>
    <${Failure} ...${props} />
    <button class="primary wide" disabled=${code.length !== DIGITS || deed === 'code' || left <= 0}>${words.check.verify}</button>
    <div class="row">
      <button type="button" class="link" disabled=${!check.sends_left || Boolean(deed)} onClick=${() => talk.ask('resend', { check: check.id })}>${words.check.resend}</button>
      <button type="button" class="link" onClick=${onOther}>${words.check.anew}</button>
    </div>
    <${OtherWay} ...${props} />
  </form>`;
}

/**
 * Failed, run out, or stopped by whoever got the letter: stands in the thread where it happened.
 * @param {{which: 'failed'|'expired'|'killed', words: import('./cards.js').CardWords, phone: string, onAnew?: () => void}} props
 */
export function Over({ which, words, phone, onAnew }) {
  return html`<section class="check over">
    <h2><${Icon} name="warn" />${words.check[`${which}Title`]}</h2>
    <p>${words.check[which]}</p>
    <div class="row">
      ${onAnew && html`<button class="quiet" onClick=${onAnew}>${words.check.again}</button>`}
      <${Call} words=${words} phone=${phone} />
    </div>
  </section>`;
}

/** What the server refused, in our words; of a number that was given up nothing. @param {CheckProps & {onOther?: () => void}} props */
function Failure({ state, words, onOther }) {
  const failure = onOther && state.failure?.deed === 'start_check' ? null : state.failure;
  const isEnough = failure?.code === 'too_many' && failure.deed !== 'code';
  const text = failure && failure.deed !== 'end' && (isEnough ? words.check.enough : (words.errors[failure.code] ?? words.unknownError));
  return html`<div role="alert">${text && html`<p class="bad"><${Icon} name="warn" />${text}</p>`}</div>`;
}

/** @param {CheckProps} props */
function OtherWay({ words, phone }) {
  const show = (/** @type {any} */ event) => event.target.scrollIntoView({ block: 'nearest' }); // what it opens may be out of sight
  return phone && html`<details onToggle=${show}><summary>${words.check.other}</summary><p>${words.check.otherWay}</p><${Call} words=${words} phone=${phone} /></details>`;
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
