/**
 * Single keys for those who work here all day.
 *
 * `meant` is pure: key and place to what is meant. Must not know the screen.
 *
 * @module
 */

/** @typedef {'next'|'previous'|'open'|'reply'|'note'|'claim'|'transfer'|'close'|'check'|'help'|'leave'} Meaning */

/** @type {Record<string, Meaning>} */
const LETTERS = {
  j: 'next', k: 'previous', o: 'open', r: 'reply', n: 'note', c: 'claim', t: 'transfer', e: 'close', a: 'check', '?': 'help',
};

/**
 * @param {{key: string, ctrlKey?: boolean, metaKey?: boolean, altKey?: boolean, isComposing?: boolean}} event
 * @param {boolean} isInField whether the focus is where one types
 * @returns {Meaning|null}
 */
export function meant(event, isInField) {
  // With a modifier it belongs to the browser; while a character is being composed, to the input method.
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  if (event.key === 'Escape') return 'leave';
  if (isInField) return null;
  return LETTERS[event.key.toLowerCase()] ?? null;
}
