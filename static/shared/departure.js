/**
 * Departures, as the company's system writes them, in the words of whoever reads them.
 *
 * @module
 */

/** @typedef {import('./frames.js').Lang} Lang */

/**
 * A moment of the company's system, as people read it; a text that is no moment stays as it is. The clock time is
 * the airport's, so it is read as written and never moved to the reader's own zone.
 * @param {string} text e.g. "2026-03-10T14:05" or with a zone behind it
 * @param {Lang} lang
 * @param {'short'|'long'} [size] of the words for day and month
 */
export function when(text, lang, size = 'short') {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.exec(text);
  return at
    ? new Intl.DateTimeFormat(lang === 'fr' ? 'fr-FR' : 'en-GB', {
        weekday: size, day: 'numeric', month: size, hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone: 'UTC',
      }).format(Date.parse(at + 'Z'))
    : text;
}

/**
 * The departure, unless the label already tells it.
 * @param {import('./frames.js').Option} option
 * @param {Lang} lang
 * @returns {string} '' when there is nothing to add
 */
export function departure({ departs, label }, lang) {
  const [, hour, minute] = /T(\d\d):(\d\d)/.exec(departs) ?? [];
  // "14:05", and as the French write it "14 h 05".
  const isTold = hour ? new RegExp(`\\b0?${Number(hour)}\\s?[:.h]\\s?${minute}\\b`).test(label) : label.includes(departs);
  return isTold ? '' : when(departs, lang);
}

/**
 * What a booking was changed to: in the company's words where they are in the reader's language, else by its departure.
 * @param {import('./frames.js').ActBody} body
 * @param {Lang} lang
 */
export function chosen({ label = '', departs = '', lang: written }, lang) {
  return departs && !(label && written === lang) ? when(departs, lang, 'long') : label;
}
