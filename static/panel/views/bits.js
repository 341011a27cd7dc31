/**
 * Small pieces that several screens draw: ticking times, names, badges, dialogs.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../shared/preact.js';
import { withoutDirections } from '../../shared/links.js';
import { urgency, waited } from '../lists.js';
import { Icon } from './icons.js';

/** @typedef {import('../state.js').State} State */
/** @typedef {import('../state.js').Entry} Entry */
/** @typedef {import('../words.js').Words} Words */
/** @typedef {import('../../shared/frames.js').Lang} Lang */
/** @typedef {{kind: 'check'|'transfer'|'close'|'unfreeze'|'help'|'leave', conversation: string}
 *   | {kind: 'override', conversation: string, held: string}
 *   | {kind: 'change', conversation: string, option: import('../../shared/frames.js').Option}} Asked */
/**
 * What every view is given: the state, the desk to act on, the words, and a way to ask something in a dialog.
 * @typedef {{state: State, desk: import('../desk.js').Desk, w: Words, lang: Lang, ask: (asked: Asked|null) => void}} View
 */

/** Who is drawn anew every second: one clock for all. @type {Set<() => void>} */
const ticking = new Set();
/** @type {ReturnType<typeof setInterval>|undefined} */
let second;

/** Draws the caller anew every second. */
export function useSecond() {
  const [, count] = useState(0);
  useEffect(() => {
    const tick = () => count((n) => n + 1);
    ticking.add(tick);
    second ??= setInterval(() => ticking.forEach((one) => one()), 1_000);
    return () => {
      ticking.delete(tick);
    };
  }, []);
}

/**
 * @param {number} seconds
 * @returns {string} "0:42", "12:05", "1 h 05"
 */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return h ? `${h} h ${two(m)}` : `${m}:${two(s)}`;
}

/**
 * What is left of a proof: minutes while there are many, seconds at the end.
 * @param {number} seconds
 * @returns {string} "28 min", "1:59"
 */
export function remaining(seconds) {
  return seconds >= 120 ? `${Math.floor(seconds / 60)} min` : span(seconds);
}

/**
 * How a conversation is called: by the name its visitor gives, in quotes because it proves nothing, or by its number.
 * @param {Words} w
 * @param {{name?: string, number: number}|undefined} entry
 */
export function callOf(w, entry) {
  if (!entry) return '…';
  return entry.name ? w.quoted(withoutDirections(entry.name)) : w.visitor(entry.number);
}

/** How long the customer has waited, with its sign beside its colour. @param {{p: View, entry: Entry}} props */
export function Wait({ p, entry }) {
  useSecond();
  const seconds = waited(entry, p.desk.now());
  if (seconds === null) return null;
  const level = urgency(seconds);
  return html`<span class="wait" data-level=${level}>
    ${level && html`<${Icon} name=${level === 'red' ? 'alarm' : 'clock'} />`}
    <span class="unseen">${p.w.waitedFor('')}</span>${span(seconds)}
    ${level && html`<span class="unseen">, ${level === 'red' ? p.w.tooLong : p.w.long}</span>`}
  </span>`;
}

/** How sure we are of who speaks, in words. @param {Words} w @param {number} level */
export const sureness = (w, level) => (level >= 2 ? w.proven : level ? w.byAddress : w.notProven);

/** @param {{w: Words, level: number}} props */
export function Assurance({ w, level }) {
  const isProven = level >= 2;
  return html`<span class="badge" data-kind=${isProven ? 'good' : 'plain'}><${Icon} name=${isProven ? 'proven' : 'shield'} />${sureness(w, level)}</span>`;
}

/** What needs care in a conversation. @param {{w: Words, entry: Entry}} props */
export function Marks({ w, entry }) {
  return html`
    ${entry.held ? html`<span class="badge" data-kind="warn"><${Icon} name="hand" />${w.heldCount(entry.held)}</span>` : null}
    ${entry.frozen ? html`<span class="badge" data-kind="bad"><${Icon} name="frozen" />${w.frozen}</span>` : null}
  `;
}

/**
 * A window over the rest. The browser keeps the focus in it and gives it back; Esc leaves it. It is never in sight
 * without the focus: both come in the turn that draws it.
 * @param {{title: string, w: Words, onClose: () => void, children?: any, wide?: boolean}} props
 */
export function Dialog({ title, w, onClose, children, wide }) {
  const ref = useRef(/** @type {HTMLDialogElement|null} */ (null));
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (!dialog) return undefined;
    dialog.showModal();
    if (!dialog.contains(document.activeElement)) /** @type {HTMLElement|null} */ (dialog.querySelector('[autofocus], button'))?.focus();
    dialog.addEventListener('close', onClose); // by a gesture: the browser need not ask first
    return () => {
      dialog.removeEventListener('close', onClose);
      dialog.close();
    };
  }, []);
  // Left to itself, a browser may close it first and say so later; a key pressed in between would be lost.
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Escape' || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby="dialog-title" onKeyDown=${onKeyDown}
      onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}>
    <header>
      <h2 id="dialog-title">${title}</h2>
      <button type="button" class="icon-button" aria-label=${w.close} title=${w.close} onClick=${onClose}><${Icon} name="cross" /></button>
    </header>
    ${children}
  </dialog>`;
}

/**
 * The last row of a dialog. What cannot be taken back is not done by pressing Enter once more: `isFinal` begins at Cancel.
 * @param {{w: Words, onClose: () => void, children?: any, isFinal?: boolean}} props
 */
export function Choices({ w, onClose, children, isFinal }) {
  return html`<footer><button type="button" class="button" autofocus=${isFinal} onClick=${onClose}>${w.cancel}</button>${children}</footer>`;
}
