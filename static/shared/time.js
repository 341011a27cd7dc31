/**
 * Times and money as people of a language write them. Times come in epoch seconds, as in the frames.
 *
 * @module
 */

/** @typedef {'en'|'fr'} Lang */

const TAGS = { en: 'en-GB', fr: 'fr-FR' };
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {Lang} lang
 * @param {Intl.DateTimeFormatOptions} options
 */
function format(lang, options) {
  const key = lang + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.DateTimeFormat(TAGS[lang], options)));
  return made;
}

/**
 * @param {number} at epoch seconds
 * @param {Lang} lang
 * @returns {string} "14:32"
 */
export function clock(at, lang) {
  return format(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at * 1000);
}

/**
 * @param {number} at epoch seconds
 * @returns {string} equal for two times of one local day
 */
export function dayOf(at) {
  return new Date(at * 1000).toDateString();
}

/**
 * @param {number} at epoch seconds
 * @param {Lang} lang
 * @param {number} now epoch seconds
 * @returns {string} "Today", "Yesterday", "Tuesday 3 March", with the year when it is another one
 */
export function dayName(at, lang, now) {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / 86_400_000);
  if (days === 0 || days === 1) {
    const word = new Intl.RelativeTimeFormat(TAGS[lang], { numeric: 'auto' }).format(-days, 'day');
    return word.charAt(0).toUpperCase() + word.slice(1);
  }
  const sameYear = new Date(at * 1000).getFullYear() === new Date(now * 1000).getFullYear();
  const word = format(lang, { weekday: 'long', day: 'numeric', month: 'long', ...(sameYear ? {} : { year: 'numeric' }) }).format(at * 1000);
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** @param {number} at epoch seconds */
function startOfDay(at) {
  return new Date(at * 1000).setHours(0, 0, 0, 0);
}

/**
 * @param {number} seconds from now; below zero counts as zero
 * @returns {string} "9:41"
 */
export function countdown(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/**
 * @param {{amount: number, currency: string}} money in minor units: 5800 EUR is 58.00
 * @param {Lang} lang
 * @returns {string} "58,00 €" or "€58.00"
 */
export function price(money, lang) {
  const made = new Intl.NumberFormat(TAGS[lang], { style: 'currency', currency: money.currency });
  return made.format(money.amount / 10 ** (made.resolvedOptions().maximumFractionDigits ?? 2));
}
