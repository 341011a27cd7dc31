/**
 * The form of booking numbers: whether one can be right, and how one looks, in words. The server asks the same
 * (`identity.life.has_shape`); a shape tells nothing of whether the booking exists.
 *
 * @module
 */

/** @typedef {import('./words.js').Words} Words */

/** @type {Record<string, string>} */
const SIGNS = { X: '[A-Z0-9]', A: '[A-Z]', 9: '[0-9]' };

/** The letters and digits alone, as records are recognised. @param {string} text */
const normal = (text) => text.toUpperCase().replace(/[^\p{L}\p{N}]/gu, '');

/**
 * @param {string} reference as somebody typed it
 * @param {readonly string[]} formats masks of the site: A a letter, 9 a digit, X either
 */
export function hasShape(reference, formats) {
  const given = normal(reference);
  const masks = formats.length > 0 ? formats.map((mask) => [...normal(mask)].map((sign) => SIGNS[sign] ?? sign).join('')) : ['.{3,40}'];
  return new RegExp(`^(?:${masks.join('|')})$`, 'u').test(given);
}

/**
 * @param {readonly string[]} formats
 * @param {Words} w
 * @returns {string} "6 letters or digits", "2 letters – 4 digits or 10 digits"
 */
export function shapeOf(formats, w) {
  if (formats.length === 0) return w.form.any;
  const told = formats.map((mask) => mask.replace(/-+/g, ' – ').replace(/X+|A+|9+/g, (run) => `${w.form[/** @type {'X'|'A'|'9'} */ (run[0])](run.length)}, `));
  return told.map((one) => one.replace(/, ( – |$)/g, '$1').trim()).join(w.form.or);
}
