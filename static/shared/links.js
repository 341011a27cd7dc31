/**
 * Finds links in what people wrote, and makes writing-direction tricks harmless.
 *
 * A link needs an explicit `https://` or `http://` and a host in ASCII, and is shown as it is: what is read is where it
 * leads. Pure: no document.
 *
 * @module
 */

// Overrides and embeddings that can make text read otherwise than it is stored (UAX 9), and invisible joiners of lines.
const DIRECTION = /[\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/g;
const LINK = /https?:\/\/[^\s<>"'`{}|\\^«»“”]+/gi;
// A host name or IPv4 address in ASCII, an optional port, then the end or a path; no user name before the host.
const ASCII_HOST = /^https?:\/\/(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::\d{1,5})?(?=[/?#]|$)/i;

/**
 * @param {string} text
 * @returns {string} without characters that change the direction of writing
 */
export function withoutDirections(text) {
  return text.replace(DIRECTION, '');
}

/**
 * Punctuation at the end belongs to the sentence, a closing bracket to the link only when it was opened in it.
 * @param {string} link
 * @returns {string}
 */
function withoutTail(link) {
  for (;;) {
    const last = link.at(-1) ?? '';
    const opened = last === ')' ? '(' : last === ']' ? '[' : '';
    const isTail = opened ? link.split(opened).length < link.split(last).length : '.,;:!?*_~…'.includes(last);
    if (!last || !isTail) return link;
    link = link.slice(0, -1);
  }
}

/**
 * @param {string} text
 * @returns {{text: string, href?: string}[]} pieces in order; joined they give the text without direction marks
 */
export function pieces(text) {
  const clean = withoutDirections(text);
  /** @type {{text: string, href?: string}[]} */
  const found = [];
  let from = 0;
  for (const match of clean.matchAll(LINK)) {
    const link = withoutTail(match[0]);
    if (!ASCII_HOST.test(link)) continue;
    if (match.index > from) found.push({ text: clean.slice(from, match.index) });
    found.push({ text: link, href: link });
    from = match.index + link.length;
  }
  if (from < clean.length) found.push({ text: clean.slice(from) });
  return found;
}
