/**
 * Finds card numbers, security codes and bank account numbers in what a person is about to send.
 *
 * The browser's twin of the server's guard: it stops a secret before it leaves the page. The server looks again and
 * has the last word. Both are held to the same cases, tests/data/disguises.json.
 * Pure: no document, no storage, no clock.
 *
 * @module
 */

/** @typedef {{start: number, end: number, kind: 'card'|'security_code'|'iban'|'check_code'}} Secret  `text.slice(start, end)` */

const HEAD = 64; // characters at the start that may complete what the message before began
const TAIL = 120; // characters at its end that are looked at

/**
 * Secrets in `text`, in order, never overlapping.
 *
 * @param {string} text
 * @param {string} [previous] what this person said just before; a number cut in two is found, its part here returned
 * @returns {Secret[]}
 */
export function findSecrets(text, previous = '') {
  const { plain, places } = read(text);
  if (!/[0-9]/.test(plain)) return [];
  const joins = previous && /[0-9]/.test(plain.slice(0, HEAD));
  const before = joins ? read(previous.slice(-TAIL)).plain + '\n' : '';
  const base = before.length;
  return find(before + plain, base)
    .filter(({ end }) => end > base)
    .map(({ start, end, kind }) => ({
      start: places[start < base ? plain.search(/[0-9]|[a-z]{2,4}[0-9]{2}/) : start - base],
      // One character can be read as two; when the secret ends between them, all of it goes.
      end: Math.max(places[end - base], places[end - base - 1] + 1),
      kind,
    }));
}

/** Eight digits of any script, together or in equal parts; the server looks for the same. */
const PROOF = /(?<![\p{L}\p{Nd}_.,:/-])(?<!\p{Nd} )(?:\p{Nd}{8}|\p{Nd}{4}[ -]\p{Nd}{4}|\p{Nd}{2}(?:[ -]\p{Nd}{2}){3}|\p{Nd}(?:[ -]\p{Nd}){7})(?![\p{L}\p{Nd}_])(?![.,:/-]\p{Nd})(?! \p{Nd})/gu;

/**
 * What may be the code of the check that is under way.
 * @param {string} text
 * @returns {Secret[]}
 */
export const findProofs = (text) => [...text.matchAll(PROOF)].map(({ index, 0: { length } }) => ({ start: index, end: index + length, kind: 'check_code' }));

/** @param {string} plain @param {number} base where the message begins @returns {Secret[]} */
function find(plain, base) {
  const joint = base - 1;
  const accounts = findAccounts(plain);
  for (const spot of accounts) plain = masked(plain, spot);
  const cards = findCards(plain, joint);
  for (const spot of cards) plain = masked(plain, spot);
  let codes = findCodes(plain, cards);
  const said = plain.slice(0, Math.max(joint, 0));
  if (!codes.length && base && (/\ue000[ .,;:\n]*$/.test(said) || endsInName(said))) {
    const bare = codeBehind(plain, base, BEHIND_CARD, [3, 4]);
    if (bare && !/[0-9]/.test(plain.slice(bare[1])) && wordsOf(plain.slice(bare[1])).every((word) => BEHIND_CARD.has(word) || WHOLE_NAME.test(word))) codes = [bare];
  }
  /** @type {Secret[]} */
  const spots = [
    ...accounts.map(([start, end]) => ({ start, end, kind: /** @type {const} */ ('iban') })),
    ...cards.map(([start, end]) => ({ start, end, kind: /** @type {const} */ ('card') })),
    ...codes.map(([start, end]) => ({ start, end, kind: /** @type {const} */ ('security_code') })),
  ];
  return spots.sort((a, b) => a.start - b.start);
}

// --- reading: plain characters, each with its place in the original

const BREAK = '\ue000'; // where a secret was taken out: nothing is joined across it
const MARK = /\[(?:card ending [0-9]{4}|security code removed|IBAN [A-Z]{2} ending [A-Z0-9]{4})\]/gi;
const BLANKS = '\u115f\u1160\u3164\uffa0\u2800';
const IDEOGRAPHS = '〇一二三四五六七八九';
/** Digits that Unicode keeps outside the decimal scripts: first, last, value of the first. @type {[number, number, number][]} */
const ODD_DIGITS = [
  [0x1369, 0x1371, 1], [0x19da, 0x19da, 1], [0x2460, 0x2468, 1], [0x2474, 0x247c, 1], [0x2488, 0x2490, 1], [0x24ea, 0x24ea, 0],
  [0x24f5, 0x24fd, 1], [0x24ff, 0x24ff, 0], [0x2776, 0x277e, 1], [0x2780, 0x2788, 1], [0x278a, 0x2792, 1],
  [0x10a40, 0x10a43, 1], [0x10e60, 0x10e68, 1], [0x11052, 0x1105a, 1], [0x1f100, 0x1f100, 0], [0x1f101, 0x1f10a, 0],
];

/** @param {string} text */
function read(text) {
  let plain = '';
  /** @type {number[]} */
  const places = [];
  let at = 0;
  for (const character of text) {
    const folded = character < '\x80' ? character : fold(character);
    plain += folded;
    for (let n = 0; n < folded.length; n += 1) places.push(at);
    at += character.length;
  }
  places.push(at);
  plain = plain.replace(/%(?:20|2[de]|0[9ad])/gi, '   ').replace(MARK, (mark) => BREAK.repeat(mark.length));
  return { plain: plain.replace(/[A-Z]/g, (letter) => letter.toLowerCase()), places };
}

/** What one character beyond ASCII is read as: nothing, a digit, or its compatibility form without accents. @param {string} character @returns {string} */
function fold(character) {
  if (character === BREAK) return ' ';
  if (BLANKS.includes(character) || /[\p{Cf}\p{Mn}\p{Me}]/u.test(character)) return '';
  const code = /** @type {number} */ (character.codePointAt(0));
  for (const [first, last, value] of ODD_DIGITS) if (code >= first && code <= last) return String(value + code - first);
  const ideograph = character === '零' ? 0 : IDEOGRAPHS.indexOf(character);
  if (ideograph >= 0) return String(ideograph);
  const folded = character.normalize('NFKD');
  if (folded.includes('\u2044')) return ' '; // a fraction: two numbers, and nobody's way to write one
  if (folded !== character) return [...folded].map((part) => (part < '\x80' ? part : fold(part))).join('');
  if (!/\p{Nd}/u.test(character)) return character;
  // Decimal digits stand in tens, zero first; two tens may stand side by side.
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return String((code - zero) % 10);
}

/** @param {string} plain @param {readonly [number, number, ...unknown[]]} spot */
const masked = (plain, [start, end]) => plain.slice(0, start) + BREAK.repeat(end - start) + plain.slice(end);

// --- card numbers

const LETTER = /\p{L}/u;
const DATE_OR_TIME = /(?<![0-9])(?:[0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:[0-9]{4}|[0-9]{2})|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[:h][0-9]{2})(?![0-9])/;
const EMBOSSED = new Set(['4,4,4,4', '4,6,5', '4,6,4', '4,4,4,4,3', '4,4,4,4,1', '6,13']);
const SHORT_MAESTRO = new Set(['5018', '5020', '5038', '5893', '6304', '6759', '6761', '6762', '6763']);
const LONG = [16, 19, 18, 17];

/** Lengths of cards that begin with these four digits, the likeliest first. @param {string} prefix */
function lengthsOf(prefix) {
  const four = Number(prefix);
  const two = Math.floor(four / 100);
  const three = Math.floor(four / 10);
  if (prefix[0] === '4') return [16, 19, 13];
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720) || (four >= 2200 && four <= 2204)) return [16];
  if (two === 34 || two === 37) return [15];
  if (four >= 3528 && four <= 3589) return LONG;
  if ((three >= 300 && three <= 305) || two === 36 || two === 38) return [14, 16];
  if (four === 6011 || two === 62 || two === 65 || (three >= 644 && three <= 649)) return LONG;
  if (prefix[0] === '6' || [50, 56, 57, 58].includes(two)) return SHORT_MAESTRO.has(prefix) ? [...LONG, 13, 14, 15] : LONG;
  return [];
}

/** @typedef {[start: number, end: number, codeLength: number]} Card */

/** @param {string} plain @param {number} joint the line break between two messages; -1: one message @returns {Card[]} */
function findCards(plain, joint) {
  const found = chains(plain, joint).flatMap((chain) => cardsIn(plain, chain, false));
  if (found.length || !/[oil|][0-9oil|]|[0-9][oil|]/.test(plain)) return found;
  // Letters taken for digits, when most of the number is digits.
  const swapped = plain.replace(/[oil|]/g, (letter) => (letter === 'o' ? '0' : '1'));
  return chains(swapped, joint)
    .flatMap((chain) => cardsIn(swapped, chain, true))
    .filter(([start, end]) => plain.slice(start, end).replace(/[^0-9]/g, '').length >= 8);
}

/** Groups of digits that may belong together. @typedef {{spans: [number, number][], gaps: string[]}} Chain */

/** @param {string} plain @param {number} joint @returns {Chain[]} */
function chains(plain, joint) {
  /** @type {Chain[]} */
  const all = [];
  for (const group of plain.matchAll(/[0-9]+/g)) {
    const start = group.index;
    const chain = all.at(-1);
    const last = chain?.spans.at(-1)?.[1] ?? 0;
    let gap = start - last <= 72 ? plain.slice(last, start) : BREAK;
    if (last <= joint && joint < start) gap = gap.includes(BREAK) ? BREAK : '\n';
    else if (gap.length > 24 || (gap.length > 12 && LETTER.test(gap))) gap = BREAK;
    if (!chain || gap.includes(BREAK)) all.push({ spans: [[start, start + group[0].length]], gaps: [] });
    else {
      chain.gaps.push(gap);
      chain.spans.push([start, start + group[0].length]);
    }
  }
  return all;
}

/** @param {string} plain @param {Chain} chain @param {boolean} embossedOnly @returns {Card[]} */
function cardsIn(plain, { spans, gaps }, embossedOnly) {
  const digits = spans.map(([start, end]) => plain.slice(start, end)).join('');
  if (digits.length < 13) return [];
  // A parcel number of the American post, as its labels group it.
  if (/^9[1-5]/.test(digits) && String(spans.map(([start, end]) => end - start)) === '4,4,4,4,4,2') return [];
  const offsets = [0];
  for (const [start, end] of spans) offsets.push(/** @type {number} */ (offsets.at(-1)) + end - start);
  const groupAt = new Map(offsets.map((offset, number) => [offset, number]));
  /** @type {Card[]} */
  const found = [];
  let taken = 0;
  for (let first = 0; first < spans.length; first += 1) {
    const offset = offsets[first];
    if (offset < taken || offset + 13 > digits.length) continue;
    for (const length of lengthsOf(digits.slice(offset, offset + 4))) {
      const after = groupAt.get(offset + length);
      if (after === undefined || !checks(digits.slice(offset, offset + length))) continue;
      const [start, end] = [spans[first][0], spans[after - 1][1]];
      const sizes = spans.slice(first, after).map(([a, b]) => b - a);
      if (embossedOnly && sizes.length > 1 && !EMBOSSED.has(String(sizes))) continue;
      if (!isOneNumber(sizes, gaps.slice(first, after - 1), plain.slice(start, end))) continue;
      taken = offset + length;
      found.push([start, end, length === 15 ? 4 : 3]);
      break;
    }
  }
  return found;
}

/** Whether such groups with such gaps are one number, not a list of prices, dates and times. @param {number[]} sizes @param {string[]} gaps @param {string} written */
function isOneNumber(sizes, gaps, written) {
  if (String(sizes) === '3,10') return false; // an airline ticket
  if (sizes.length === 1 || EMBOSSED.has(String(sizes))) return true;
  const last = sizes.length - 1;
  const isRegular = sizes.every((size, n) => n === last || size === sizes[0]) && sizes[last] <= sizes[0];
  const kinds = new Set(gaps.filter((gap) => gap !== '\n'));
  if ([...kinds].some((gap) => LETTER.test(gap))) return isRegular && kinds.size === 1;
  return isRegular || kinds.size <= 1 || !DATE_OR_TIME.test(written);
}

/** Luhn's check of the last digit. @param {string} digits */
function checks(digits) {
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    const value = Number(digits[digits.length - 1 - place]);
    sum += place % 2 ? (value > 4 ? value * 2 - 9 : value * 2) : value;
  }
  return sum % 10 === 0;
}

// --- bank account numbers: country and length, from SWIFT's registry; remainder by 97

const LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 ' +
    'FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 ' +
    'LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 ' +
    'SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .toLowerCase()
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** @param {string} plain @returns {[number, number][]} */
function findAccounts(plain) {
  const spots = [...plain.matchAll(/[0-9a-z]/g)].map((kept) => kept.index);
  const compact = spots.map((spot) => plain[spot]).join('');
  /** @type {[number, number][]} */
  const found = [];
  const begin = /[a-z]{2}[0-9]{2}/g;
  for (let match = begin.exec(compact); match; match = begin.exec(compact)) {
    const first = match.index;
    begin.lastIndex = first + 2; // the next may begin inside a false start
    const length = LENGTHS.get(match[0].slice(0, 2)) ?? 0;
    const after = first + length;
    if (!length || after > compact.length) continue;
    const number = compact.slice(first, after);
    if (number.replace(/[a-z]/g, '').length < 10 || remainder(number.slice(4) + number.slice(0, 4)) !== 1) continue;
    const [start, end] = [spots[first], spots[after - 1] + 1];
    if (plain.slice(start, end).includes(BREAK) || /[0-9]/.test(plain[end] ?? '')) continue;
    if (spots.slice(first + 1, after).some((spot, n) => spot - spots[first + n] > 24)) continue;
    found.push([start, end]);
    begin.lastIndex = after;
  }
  return found;
}

/** By 97, a letter counting as two digits from a = 10. @param {string} number */
function remainder(number) {
  let rest = 0;
  for (const character of number) {
    const value = parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest;
}

// --- security codes: beside their usual names, or beside a card

const NAMES =
  'c[ .]?v[ .]?[vcn][ .]?2?|c[ .]?v[ .]?c2?|csc|cid|card (?:verification|validation|identification)|verification (?:code|value|number)' +
  '|(?:security|secret|safety) (?:code|number|digits)|codes? (?:secret|confidentiel|pin)s?|pin(?: code)?' +
  '|crypto(?:gramme)?(?: visuel)?|codes? (?:de )?(?:securite|verification|validation)|code (?:au dos|de la carte)' +
  '|(?:[34]|three|four)[ -](?:last |final )?(?:digits?|numbers?|figures?) (?:code )?(?:on|at|from) (?:the |its )?(?:back|reverse|front)' +
  '|(?:[34]|trois|quatre)(?: derniers?)?(?: petits?)? chiffres (?:qui sont |situes? |inscrits? )?(?:au dos|au verso|derriere|de derriere)';
const NAME = new RegExp(`(?<![a-z])(?:${NAMES})(?![a-z])`, 'g');
const WHOLE_NAME = new RegExp(`^(?:${NAMES})$`);
/** @param {string} words */
const setOf = (words) => new Set(words.split(' '));
const BETWEEN = setOf(
  "is are it its it's s the my our your this that a an of on for to and code number value digits digit numbers card credit debit visa " +
    "mastercard amex back reverse front side be would being namely here est sont c'est cest c le la les l ma mon mes notre votre ce cet " +
    'cette un une de du des d au a dos verso et pour numero n no nr num carte bancaire bleue cb bleu voici suivant chiffres chiffre ' +
    'visuel securite qui suit donc',
);
const BACK = setOf("is are was it's the my as for s c'est est le la les mon ma comme pour sont ce code number un");
const BEHIND_CARD = new Set([
  ...BETWEEN,
  ...setOf(
    'exp expiry expires expire expiring expiration valid validity thru through until till date end ends month year expirant validite ' +
      "valable jusqu jusqu'a jusqu'au fin annee mois then with avec puis sec secu security crypto",
  ),
]);
const MONEY = /^\s{0,2}(?:[€$£%]|eur\b|euros?\b|dollars?\b|pounds?\b|livres?\b|usd\b|gbp\b|chf\b|[.,:][0-9])/;
const EXPIRY = /^(?:(?:0?[1-9]|1[0-2])(?:\s?[/.\-]\s?| )(?:20)?[0-9]{2}(?![0-9])|(?:0[1-9]|1[0-2])(?:20)?[2-4][0-9](?![0-9]))/;
const COUNT = /^[34] (?:digits?|chiffres|numbers)(?![a-z])/;

/** @typedef {[number, number]} Spot */

/** @param {string} plain @param {Card[]} cards @returns {Spot[]} */
function findCodes(plain, cards) {
  /** @type {(Spot|null)[]} */
  const spots = cards.map(([, end, length]) => codeBehind(plain, end, BEHIND_CARD, [length]));
  for (const name of plain.matchAll(NAME)) {
    spots.push(codeInFront(plain, name.index), codeBehind(plain, name.index + name[0].length, BETWEEN, [3, 4]));
  }
  /** @type {Spot[]} */
  const apart = [];
  for (const spot of spots.filter((one) => one !== null).sort((a, b) => a[0] - b[0])) {
    if (spot[0] >= (apart.at(-1)?.[1] ?? 0)) apart.push(spot);
  }
  return apart;
}

/** @param {string} plain @param {number} at @param {Set<string>} words @param {number[]} lengths @returns {Spot|null} */
function codeBehind(plain, at, words, lengths) {
  const stop = at + 64;
  for (let tries = 0; tries < 3; tries += 1) {
    // An expiry date and "(3 digits)" may come first.
    const gap = /** @type {RegExpMatchArray} */ (plain.slice(at, stop).match(/^[^0-9\ue000]{0,40}/))[0];
    if (!wordsOf(gap).every((word) => words.has(word))) return null;
    at += gap.length;
    const rest = plain.slice(at, at + 80);
    const number = rest.match(/^[0-9]+/)?.[0].length;
    if (!number) return null;
    const passed = (rest.match(COUNT) ?? rest.match(EXPIRY))?.[0].length;
    const isExpiry = passed && number === 4 && lengths.includes(3) && !lengths.includes(4);
    if (lengths.includes(number) && !isExpiry) return MONEY.test(rest.slice(number)) ? null : [at, at + number];
    if (!passed) {
      const spelt = rest.match(/^[0-9](?:[ ._\-/*]{1,3}[0-9]){2,3}(?![0-9])/)?.[0];
      return spelt && lengths.includes(spelt.replace(/[^0-9]/g, '').length) ? [at, at + spelt.length] : null;
    }
    at += passed;
  }
  return null;
}

/** @param {string} plain @param {number} at @returns {Spot|null} */
function codeInFront(plain, at) {
  const front = plain.slice(Math.max(0, at - 64), at).match(/(?<![0-9.,:/-])([0-9]{3,4})([^0-9\ue000]{1,20})$/);
  if (!front || /[.;!?\n]/.test(front[2]) || !wordsOf(front[2]).every((word) => BACK.has(word))) return null;
  return [at - front[0].length, at - front[2].length];
}

/** Whether the text stops at a code's name. @param {string} plain */
function endsInName(plain) {
  const tail = plain.slice(-64);
  const name = [...tail.matchAll(NAME)].at(-1);
  if (!name) return false;
  const rest = tail.slice(name.index + name[0].length);
  return !/[0-9]/.test(rest) && wordsOf(rest).every((word) => BETWEEN.has(word));
}

/** @param {string} text @returns {string[]} */
function wordsOf(text) {
  return (text.match(/\p{L}(?:['’]?\p{L})*/gu) ?? []).map((word) => word.replaceAll('’', "'"));
}
