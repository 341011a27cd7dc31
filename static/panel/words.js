/**
 * Which language to speak, and fetching its words: only one is ever on its way.
 *
 * @module
 */

import { lazily } from '../shared/later.js';

/** @typedef {import('./words.en.js').Words} Words */
/** @typedef {import('../shared/frames.js').Lang} Lang */

/** The words of a language that is chosen later on, when the server may be away for a while.
 * @type {Record<Lang, () => Promise<{words: Words}>>} */
export const fetchWords = { en: lazily((at) => import(at('./words.en.js'))), fr: lazily((at) => import(at('./words.fr.js'))) };

/**
 * The words to begin with, however long they take.
 * @param {Lang} lang
 * @returns {Promise<Words>}
 */
export async function loadWords(lang) {
  return (lang === 'fr' ? await import('./words.fr.js') : await import('./words.en.js')).words;
}

/**
 * The first language of the browser that we have.
 * @param {readonly string[]} wanted e.g. `navigator.languages`
 * @returns {Lang}
 */
export function chooseLanguage(wanted) {
  for (const tag of wanted) {
    const short = tag.slice(0, 2).toLowerCase();
    if (short === 'fr' || short === 'en') return short;
  }
  return 'en';
}

/**
 * The sentence for an error: ours when we know the code, else the server's.
 * @param {Words} words
 * @param {string} code
 * @param {string} sentence
 * @returns {string}
 */
export function explain(words, code, sentence) {
  return /** @type {Record<string, string>} */ (words.errors)[code] || sentence || words.errors.internal;
}
