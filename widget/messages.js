/**
 * All that crosses between the host page and the conversation's frame. Nothing that anyone wrote is among it.
 *
 * loader.js stands alone and repeats these names; a test keeps the two alike.
 *
 * @module
 */

/** From the host page: the frame is shown (`page` without query and fragment), or hidden.
 * @typedef {{aparte: 'open', page: string, title: string} | {aparte: 'closed'}} FromHost */

/** From the frame: it listens; it wants to be closed; so many answers are unread.
 * @typedef {{aparte: 'ready'} | {aparte: 'close'} | {aparte: 'unread', count: number}} FromFrame */

/**
 * Believes a message only from the embedding window and the origin that the server has validated.
 * @param {{source: unknown, origin: string, data: any}} event
 * @param {unknown} parent the embedding window
 * @param {string} origin "" when nothing may embed us
 * @returns {FromHost|null}
 */
export function fromHost(event, parent, origin) {
  if (!origin || event.origin !== origin || event.source !== parent) return null;
  const data = event.data;
  if (typeof data !== 'object' || data === null) return null;
  if (data.aparte === 'closed') return { aparte: 'closed' };
  if (data.aparte !== 'open') return null;
  return { aparte: 'open', page: plainAddress(data.page), title: String(data.title ?? '').slice(0, 200) };
}

/**
 * @param {unknown} address
 * @returns {string} scheme, host and path of a web page; "" for anything else
 */
export function plainAddress(address) {
  return /^https?:\/\/[^?#]+/.exec(String(address ?? ''))?.[0].slice(0, 2000) ?? '';
}
