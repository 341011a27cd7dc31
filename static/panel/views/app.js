/**
 * The whole panel: which screen, its banner, its notices, and what the keys do.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../shared/preact.js';
import { canCheck, isMine, leads, mayWrite } from '../lists.js';
import { meant } from '../keys.js';
import { Choice } from '../kept.js';
import { allowNotifications, beep, notificationsDenied } from '../notify.js';
import { explain } from '../words.js';
import { callOf, span, useSecond } from './bits.js';
import { Question } from './dialogs.js';
import { Icon } from './icons.js';
import { Foot, Inbox } from './inbox.js';
import { Login } from './login.js';
import { Person } from './person.js';
import { Middle } from './thread.js';

/** @typedef {import('./bits.js').View} View */
/** @typedef {import('./bits.js').Asked} Asked */

const ERROR_STAYS_MS = 15_000;
/** Where the focus goes when a column takes the place of another. */
const COLUMNS = { inbox: '.line[aria-current], .line', thread: '#conversation', person: '.person' };
export const choices = { notify: new Choice('aparte.notify'), sound: new Choice('aparte.sound') };

/**
 * @param {{desk: import('../desk.js').Desk, state: import('../state.js').State, w: import('../words.js').Words,
 *   lang: import('../words.js').Lang, speak: (lang: import('../words.js').Lang) => void, version: string,
 *   unreachable: boolean, again: () => void}} props
 */
export function App({ desk, state, w, lang, speak, version, unreachable, again }) {
  const [asked, setAsked] = useState(/** @type {Asked|null} */ (null));
  const [, redraw] = useState(0);
  /** @type {View} */
  const p = { state, desk, w, lang, ask: setAsked };
  useKeys(p, asked);
  useLayoutEffect(() => {
    // One column at a time: the focus must not stay behind in one that is not shown, nor on a button that is gone.
    const focused = document.activeElement;
    const isLost = !(focused instanceof HTMLElement) || focused === document.body || focused.offsetParent === null;
    if (state.phase === 'signed_in' && isLost) /** @type {HTMLElement|null} */ (document.querySelector(COLUMNS[state.place]) ?? document.getElementById('conversation'))?.focus();
  }, [state.place, state.phase, state.active, state.threads[state.active]?.isGone, state.threads[state.active]?.view?.entry.state === 'closed']);
  // What was asked about may have gone meanwhile.
  const isMoot = asked !== null && asked.conversation !== '' && !state.inbox[asked.conversation];
  useEffect(() => {
    if (isMoot || state.phase !== 'signed_in') setAsked(null);
  }, [isMoot, state.phase]);

  const other = lang === 'en' ? 'fr' : 'en';
  const languages = html`<button type="button" class="icon-button text" lang=${other} title=${w.other}
    onClick=${() => speak(other)}>${other.toUpperCase()}<span class="unseen"> ${w.other}</span></button>`;

  if (state.phase === 'starting') {
    return html`<main class="login"><div class="empty">${unreachable
      ? html`<p role="alert">${w.noServer}</p><button type="button" class="button" onClick=${again}>${w.tryAgain}</button>`
      : html`<p class="soft">${w.starting}</p>`}</div></main>`;
  }
  if (state.phase === 'signed_out') return html`<${Login} p=${p} wasIn=${state.me !== null} languages=${languages} />`;

  const toggleNotify = async () => {
    choices.notify.set(!choices.notify.isOn && (await allowNotifications()));
    redraw((n) => n + 1);
  };
  const toggleSound = () => {
    choices.sound.set(!choices.sound.isOn);
    if (choices.sound.isOn) beep();
    redraw((n) => n + 1);
  };
  const foot = html`<${Foot} p=${p} languages=${languages}
    notify=${{ isOn: choices.notify.isOn && !notificationsDenied(), isDenied: notificationsDenied(), toggle: toggleNotify }}
    sound=${{ isOn: choices.sound.isOn, toggle: toggleSound }} />`;

  return html`
    <a class="skip" href="#conversation">${w.skip}</a>
    <${Banner} p=${p} />
    <main class="desk" data-place=${state.place}>
      <h1 class="unseen">${w.title}</h1>
      <${Inbox} p=${p} footer=${foot} />
      <${Middle} p=${p} />
      <${Person} p=${p} />
    </main>
    <${Notices} p=${p} />
    ${asked && !isMoot && html`<${Question} key=${asked.kind} p=${p} asked=${asked} version=${version} onClose=${() => setAsked(null)} />`}
  `;
}

/** Tells when the line is down; a blink of it is not worth a word. @param {{p: View}} props */
function Banner({ p: { state, w } }) {
  useSecond();
  const since = Date.now() / 1000 - state.linkSince;
  const isShown = !state.isOnline && since > 1;
  const said = !state.isInboxKnown && since < 10 ? w.connecting : since < 10 ? w.reconnecting : w.reconnectingLate;
  return html`<div role="status" class="banner-frame">${isShown && html`<p class="banner"><${Icon} name="clock" /> ${said}</p>`}</div>`;
}

/** That a colleague gives us a conversation interrupts nobody. @param {{p: View}} props */
function Notices({ p }) {
  const told = (/** @type {boolean} */ isGiven) => p.state.notices.filter(({ kind }) => (kind === 'given') === isGiven)
    .map((notice) => html`<${Told} key=${notice.id} p=${p} notice=${notice} />`);
  return html`<div class="notices"><div role="alert">${told(false)}</div><div role="status">${told(true)}</div></div>`;
}

/** An error goes by itself; the rest stays until it is put away, a given conversation until it is opened. @param {{p: View, notice: import('../state.js').Notice}} props */
function Told({ p, notice: { id, kind, code, sentence, conversation, retryAfter } }) {
  const { state, desk, w } = p;
  const dismiss = () => desk.dispatch({ t: 'do_dismiss', id });
  useEffect(() => {
    if (kind !== 'error') return undefined;
    const timer = setTimeout(dismiss, ERROR_STAYS_MS);
    return () => clearTimeout(timer);
  }, []);
  const entry = state.inbox[conversation];
  const name = entry ? callOf(w, entry) : '';
  const [title, said] = {
    alarm: () => [[w.alarm, name].filter(Boolean).join(' · '), /** @type {Record<string, string>} */ (w.alarms)[code] ?? code],
    given: () => [w.givenToYou, name],
    error: () => ['', [explain(w, code, sentence), retryAfter > 0 ? w.goOnIn(span(retryAfter)) : ''].join(' ')],
  }[kind]();
  return html`<div class="notice" data-kind=${kind}>
    <${Icon} name=${kind === 'given' ? 'person' : 'alarm'} />
    <p>${title && html`<strong>${title}</strong><br />`}${said}</p>
    ${entry && conversation !== state.active && html`<button type="button" class="button small" onClick=${() => { desk.open(conversation); dismiss(); }}>${w.show}</button>`}
    <button type="button" class="icon-button" aria-label=${w.dismiss} title=${w.dismiss} onClick=${dismiss}><${Icon} name="cross" /></button>
  </div>`;
}

/**
 * @param {View} p
 * @param {Asked|null} asked
 */
function useKeys(p, asked) {
  const now = useRef({ p, asked });
  now.current = { p, asked };
  useEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const { p: view, asked: open } = now.current;
      if (view.state.phase !== 'signed_in' || open) return; // a dialog has its own keys
      const target = /** @type {HTMLElement} */ (event.target);
      const isInField = target.matches?.('input, textarea, select, [contenteditable]') ?? false;
      const meaning = meant(event, isInField);
      if (meaning && obey(view, meaning, target, isInField)) event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

/**
 * @param {View} p
 * @param {import('../keys.js').Meaning} meaning
 * @param {HTMLElement} target where the focus is
 * @param {boolean} isInField
 * @returns {boolean} whether it was for us
 */
function obey(p, meaning, target, isInField) {
  const { state, desk } = p;
  const conversation = state.active;
  const thread = state.threads[conversation];
  const entry = thread && !thread.isGone ? thread.view?.entry : undefined;
  const may = entry ? mayWrite(state, entry) : null;
  const isOurs = entry?.state === 'assigned' && (isMine(state, entry) || leads(state));
  switch (meaning) {
    case 'next':
    case 'previous':
      return moveFocus(meaning === 'next' ? 1 : -1, conversation);
    case 'open': {
      const line = target.closest?.('[data-line]')?.getAttribute('data-line');
      if (!line) return false;
      desk.open(line);
      return true;
    }
    case 'reply':
    case 'note':
      desk.dispatch({ t: 'do_place', place: 'thread' });
      return press(`mode-${meaning}`) || (meaning === 'note' && focusOn('composer'));
    case 'claim':
      if (may !== 'claim') return false;
      desk.claim(conversation);
      return true;
    case 'transfer':
    case 'close':
      if (!isOurs) return false;
      p.ask({ kind: meaning, conversation });
      return true;
    case 'check':
      if ((may !== 'reply' && may !== 'lead') || !canCheck(state, entry)) return false;
      p.ask({ kind: 'check', conversation });
      return true;
    case 'help':
      p.ask({ kind: 'help', conversation: '' });
      return true;
    case 'leave':
      if (isInField) target.blur();
      else if (state.notices.length > 0) desk.dispatch({ t: 'do_dismiss', id: state.notices[0].id });
      else desk.dispatch({ t: 'do_place', place: state.place === 'person' ? 'thread' : 'inbox' });
      return true;
    default:
      return false;
  }
}

/** @param {1|-1} step @param {string} active @returns {boolean} */
function moveFocus(step, active) {
  const found = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-line]')]);
  const focused = found.findIndex((line) => line === document.activeElement);
  const at = focused >= 0 ? focused : found.findIndex((line) => line.dataset.line === active);
  const next = found[Math.min(Math.max(at + step, 0), found.length - 1)];
  next?.focus();
  return next !== undefined;
}

/** @param {string} id @returns {boolean} */
function press(id) {
  const button = /** @type {HTMLButtonElement|null} */ (document.getElementById(id));
  if (!button || button.disabled) return false;
  button.click();
  return true;
}

/** @param {string} id @returns {boolean} */
function focusOn(id) {
  document.getElementById(id)?.focus();
  return document.activeElement?.id === id;
}
