/**
 * One conversation: how pages, live events and marks change what the panel holds of it.
 *
 * Knows the client rule (next number: apply; known: drop; gap: resync). Must not know the socket, the clock or the
 * screen: times come in as arguments.
 *
 * @module
 */
import { place } from '../shared/socket.js';

/** @typedef {import('./state.js').Thread} Thread */
/** @typedef {import('./state.js').Event} Event */
/** @typedef {import('./state.js').StaffView} StaffView */

/** How long "is writing" stays after the last sign of it, in seconds; signs come at most every 3 s. */
export const TYPING_SECONDS = 6;

/**
 * @param {string} id
 * @returns {Thread}
 */
export function emptyThread(id) {
  return {
    id,
    view: null,
    events: [],
    top: 0,
    isFresh: true,
    hasGap: false,
    isLoadingOlder: false,
    isGone: false,
    isLost: false,
    wantsWatch: false,
    typingUntil: 0,
    record: null,
    newAfter: 0,
  };
}

/**
 * The server's answer to `watch`: the view is new; what we hold of the events is kept only when `resumed`.
 * @param {Thread} thread
 * @param {{view: StaffView, resumed?: boolean}} frame
 * @returns {Thread}
 */
export function resetThread(thread, { view, resumed }) {
  const record = mayKeep(thread, view) ? thread.record : null;
  if (resumed && !thread.isFresh) return { ...thread, view, record, isGone: false, isLost: false, wantsWatch: false, hasGap: false };
  return { ...emptyThread(thread.id), view, record, newAfter: view.mine ?? 0 };
}

/**
 * The server has taken it from this screen: what was proven when we last looked is no longer ours to show.
 * @param {Thread} thread
 * @returns {Thread}
 */
export function lostThread(thread) {
  const view = thread.view && { ...thread.view, standing: null, check: null, entry: { ...thread.view.entry, level: 0, unread: 0 } };
  return { ...thread, view, record: null, isGone: true, isLost: true, wantsWatch: false, hasGap: false, typingUntil: 0 };
}

/**
 * A record is on the screen only while its owner is proven and nothing is frozen.
 * @param {Thread} thread
 * @param {StaffView} view
 */
function mayKeep(thread, view) {
  const { standing, entry } = view;
  const isProven = (standing?.level ?? 0) >= 2 && standing?.reference === thread.record?.reference;
  return isProven && !entry.frozen && entry.state !== 'closed';
}

/**
 * Applies one event if it is the next one.
 * @param {Thread} thread
 * @param {Event} event
 * @returns {Thread}
 */
export function applyEvent(thread, event) {
  if (!thread.isFresh) {
    const rule = place(thread.top, event.seq);
    if (rule === 'drop') return thread;
    if (rule === 'gap') return { ...thread, hasGap: true };
  }
  const typingUntil = event.kind === 'message' && event.sender.kind === 'visitor' ? 0 : thread.typingUntil;
  const next = { ...thread, events: [...thread.events, event], top: event.seq, isFresh: false, typingUntil };
  if (!next.view) return next;
  next.view = viewAfter(next.view, event);
  if (!mayKeep(next, next.view)) next.record = null;
  return next;
}

/**
 * What an event says about the view, which the server sends whole only with `reset`.
 * @param {StaffView} view
 * @param {Event} event
 * @returns {StaffView}
 */
function viewAfter(view, event) {
  const { entry } = view;
  switch (event.kind) {
    case 'check':
      return { ...view, check: event.body.check };
    case 'standing':
      return { ...view, standing: event.body.standing, entry: { ...entry, level: event.body.standing.level } };
    case 'assigned':
      return { ...view, entry: { ...entry, state: 'assigned', agent: event.body.agent_id || entry.agent } };
    case 'closed':
      return { ...view, entry: { ...entry, state: 'closed', held: 0 } }; // what was held is dropped with it
    case 'reopened':
      return { ...view, entry: { ...entry, state: 'waiting', agent: '' } };
    case 'frozen':
    case 'unfrozen':
      return { ...view, entry: { ...entry, frozen: event.kind === 'frozen' } };
    default:
      return view;
  }
}

/**
 * Applies a page: of the backlog in rising order, or, with `older`, of what came before.
 * @param {Thread} thread
 * @param {{items: Event[], older?: boolean}} page
 * @returns {Thread}
 */
export function applyPage(thread, { items, older }) {
  if (older) return { ...prepended(thread, items), isLoadingOlder: false };
  const { view, record } = thread;
  // A live event may overtake the page that was read before it.
  const next = items.reduce(applyEvent, { ...prepended(thread, items), hasGap: false });
  // The view of `reset` was read after these events: they must not set it back.
  return view && next.top <= view.entry.top ? { ...next, view, record } : next;
}

/**
 * @param {Thread} thread
 * @param {Event[]} items
 * @returns {Thread}
 */
function prepended(thread, items) {
  const first = thread.events[0]?.seq ?? 0;
  const before = items.filter((item) => item.seq < first);
  return before.at(-1)?.seq === first - 1 ? { ...thread, events: [...before, ...thread.events] } : thread;
}

/**
 * High-water marks only rise.
 * @param {Thread} thread
 * @param {{who: 'visitor'|'staff', delivered?: number, read?: number}} marks
 * @returns {Thread}
 */
export function applyMarks(thread, { who, delivered = 0, read = 0 }) {
  const { view } = thread;
  if (!view) return thread;
  if (who === 'staff') return { ...thread, view: { ...view, mine: Math.max(view.mine ?? 0, read) } };
  const now = { delivered: Math.max(view.delivered ?? 0, delivered, read), read: Math.max(view.read ?? 0, read) };
  return { ...thread, view: { ...view, ...now } };
}

/**
 * The highest visitor-stream number that we hold: what "delivered" and "read" are given in.
 * @param {Thread} thread
 * @returns {number} 0 when there is none
 */
export function topVisible(thread) {
  return thread.events.findLast((event) => (event.vseq ?? 0) > 0)?.vseq ?? 0;
}

/**
 * Whether the server has something before our first event: its numbers have no holes and begin at 1.
 * @param {Thread} thread
 */
export function hasOlder(thread) {
  return (thread.events[0]?.seq ?? 1) > 1;
}

/**
 * The proof that counts now, or null. The server says when it ends; the screen must not show it a second longer.
 * @param {StaffView|null|undefined} view
 * @param {number} now epoch seconds of the server's clock
 */
export function standingNow(view, now) {
  const standing = view?.standing;
  return standing && standing.level > 0 && (standing.until ?? 0) > now ? standing : null;
}

/**
 * The check whose code is still waited for, or null.
 * @param {StaffView|null|undefined} view
 * @param {number} now epoch seconds of the server's clock
 */
export function runningCheck(view, now) {
  const check = view?.check;
  return check?.state === 'started' && (check.until ?? 0) > now ? check : null;
}

/**
 * What became of the held messages: sent after a check or an override, or taken back.
 * @param {Event[]} events
 * @returns {Map<string, 'sent'|'dropped'>}
 */
export function fates(events) {
  /** @type {Map<string, 'sent'|'dropped'>} */
  const found = new Map();
  for (const event of events) {
    if (event.kind === 'dropped') found.set(event.body.held, 'dropped');
    else if (event.kind === 'message' && event.body.held) found.set(event.body.held, 'sent');
  }
  return found;
}

/**
 * What a check that goes on tells anew: a wrong code was typed, or the code was sent again.
 * @param {Event[]} events
 * @returns {Map<string, 'wrong'|'resent'>} by the event's id
 */
export function steps(events) {
  /** @type {Map<string, 'wrong'|'resent'>} */
  const found = new Map();
  /** @type {import('../shared/frames.js').CheckCard|undefined} */
  let before;
  for (const event of events) {
    if (event.kind !== 'check') continue;
    const { check } = event.body;
    if (before?.id === check.id && before.state === 'started' && check.state === 'started') {
      if ((check.tries_left ?? 0) < (before.tries_left ?? 0)) found.set(event.id, 'wrong');
      else if ((check.sends_left ?? 0) < (before.sends_left ?? 0)) found.set(event.id, 'resent');
    }
    before = check;
  }
  return found;
}
