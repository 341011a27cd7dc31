/**
 * What the widget knows, and how each frame and each deed of the person changes it.
 *
 * Pure: no document, no storage, no clock (`now` comes in). Events are kept in order, without gaps and without doubles.
 *
 * @module
 */
import { place } from '../../static/shared/socket.js';

/** @typedef {import('../../static/shared/frames.js').Event} Event */
/** @typedef {import('../../static/shared/frames.js').ToVisitor} Frame */
/** @typedef {import('../../static/shared/frames.js').VisitorView} View */
/** @typedef {import('../../static/shared/socket.js').LinkState} LinkState */
/** @typedef {'start_check'|'code'|'resend'|'end'} Deed */

/**
 * A message of this person that has no event yet. `waiting`: not acknowledged; `sent`: durable; `refused`: will not go.
 * @typedef {{cid: string, text: string, name?: string, at: number, state: 'waiting'|'sent'|'refused', seq?: number,
 *   isLate?: boolean, code?: string, sentence?: string}} Entry
 */

/**
 * @typedef {object} State
 * @property {LinkState} link
 * @property {boolean} isCut the line was lost and is not back
 * @property {number} skew seconds that the server's clock is ahead of ours
 * @property {string} epoch identity of the store
 * @property {import('../../static/shared/frames.js').SiteFace} site
 * @property {import('../../static/shared/frames.js').Privacy} privacy
 * @property {View|null} view null until a conversation exists
 * @property {Event[]} events rising, gapless
 * @property {number|null} last highest number applied; null until the page that follows a reset is here
 * @property {boolean} hasGap something is missing: ask for it
 * @property {boolean} hasOlder there is something before the first event
 * @property {boolean} isFetching older events have been asked for
 * @property {Entry[]} entries
 * @property {{cid: string, deed: Deed}|null} asking a deed of the check card or the end, not answered yet
 * @property {{deed: Deed, code: string, sentence: string}|null} failure the answer to it, when it was a refusal
 * @property {''|'wrong'|'resent'} checkNote what the last answer to the check was
 * @property {boolean} isTyping staff types
 * @property {number} read what this person has read, here or elsewhere
 */

/**
 * @typedef {{type: 'link', link: LinkState}
 *   | {type: 'frame', frame: Frame, now: number}
 *   | {type: 'entries', entries: Entry[]}
 *   | {type: 'late', cid: string}
 *   | {type: 'fetching'|'quiet'}
 *   | {type: 'asked', cid: string, deed: Deed}
 *   | {type: 'seen', read: number}} Action
 */

/**
 * @param {{site: string, name: string, desk?: string, accent?: string, phone?: string,
 *   privacy: import('../../static/shared/frames.js').Privacy}} config
 * @returns {State}
 */
export function begin({ site, name, desk, accent, phone, privacy }) {
  return {
    link: 'stopped',
    isCut: false,
    skew: 0,
    epoch: '',
    site: { id: site, name, desk, accent, phone },
    privacy,
    view: null,
    events: [],
    last: 0,
    hasGap: false,
    hasOlder: false,
    isFetching: false,
    entries: [],
    asking: null,
    failure: null,
    checkNote: '',
    isTyping: false,
    read: 0,
  };
}

/**
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  switch (action.type) {
    case 'link': {
      const { link } = action;
      const isCut = link === 'waiting' || link === 'refused' || (state.isCut && link !== 'online');
      return { ...state, link, isCut, isFetching: false, isTyping: false };
    }
    case 'frame':
      return receive(state, action.frame, action.now);
    case 'entries': {
      const known = new Map(state.entries.map((entry) => [entry.cid, entry]));
      const settled = new Set(state.events.map((event) => event.cid));
      const kept = action.entries.filter((entry) => !settled.has(entry.cid));
      const mine = new Set(kept.map((entry) => entry.cid));
      const sent = state.entries.filter((entry) => entry.state === 'sent' && !mine.has(entry.cid));
      return { ...state, entries: [...sent, ...kept.map((entry) => ({ ...known.get(entry.cid), ...entry }))] };
    }
    case 'late':
      return edit(state, action.cid, { isLate: true });
    case 'fetching':
      return { ...state, isFetching: true };
    case 'quiet':
      return { ...state, isTyping: false };
    case 'asked':
      return { ...state, asking: { cid: action.cid, deed: action.deed }, failure: null, checkNote: '' };
    case 'seen':
      return action.read > state.read ? { ...state, read: action.read } : state;
  }
}

/**
 * @param {State} state
 * @param {string} cid
 * @param {Partial<Entry>} change
 * @returns {State}
 */
function edit(state, cid, change) {
  return { ...state, entries: state.entries.map((entry) => (entry.cid === cid ? { ...entry, ...change } : entry)) };
}

/**
 * @param {State} state
 * @param {Frame} frame
 * @param {number} now our own clock, epoch seconds
 * @returns {State}
 */
function receive(state, frame, now) {
  switch (frame.t) {
    case 'welcome': {
      const view = frame.conversation ?? null;
      const same = view && view.id === state.view?.id && frame.epoch === state.epoch;
      const base = same ? state : { ...state, events: [], last: view ? null : 0, hasOlder: false, read: 0 };
      const read = Math.max(base.read, view?.mine ?? 0);
      const { epoch, site, privacy } = frame;
      return { ...base, view, epoch, site, privacy, read, skew: frame.now - now, hasGap: false, isTyping: false };
    }
    case 'reset':
      return { ...state, view: frame.view, epoch: frame.epoch, events: [], last: null, hasGap: false, hasOlder: false, read: frame.view.mine ?? 0 };
    case 'opened': {
      if (state.view?.id === frame.conversation.id) return acknowledge(state, frame.cid, 1);
      // The view may already be ahead of the events that follow from number 1; they must not turn it back.
      const fresh = { ...state, view: frame.conversation, events: [], last: 0, hasOlder: false, hasGap: false };
      return acknowledge(fresh, frame.cid, 1);
    }
    case 'ack':
      return acknowledge(state, frame.cid, frame.seq);
    case 'event':
      return frame.conversation === state.view?.id ? take(state, frame) : state;
    case 'events': {
      if (frame.conversation !== state.view?.id) return state;
      if (frame.older) return prepend(state, frame.items, Boolean(frame.more));
      if (state.last === null) {
        const first = frame.items[0]?.seq ?? frame.top + 1;
        state = { ...state, last: first - 1, hasOlder: first > 1 };
      }
      return frame.items.reduce(take, { ...state, hasGap: false });
    }
    case 'error':
      return fail(state, frame);
    case 'typing':
      return frame.conversation === state.view?.id ? { ...state, isTyping: true } : state;
    case 'marks': {
      const { view } = state;
      if (view?.id !== frame.conversation) return state;
      // The server may repeat our own marks: another screen of ours has read.
      if (frame.who === 'visitor') return { ...state, read: Math.max(state.read, frame.read) };
      const delivered = Math.max(view.delivered ?? 0, frame.delivered);
      return { ...state, view: { ...view, delivered, read: Math.max(view.read ?? 0, frame.read) } };
    }
    case 'pos': {
      const top = (state.view && frame.positions?.[state.view.id]) ?? 0;
      return { ...state, skew: frame.now - now, hasGap: state.hasGap || (state.last !== null && top > state.last) };
    }
    case 'desk':
      return { ...state, site: { ...state.site, online: frame.online } };
    default:
      return state; // the socket's and the driver's business, or a frame of a later version
  }
}

/**
 * @param {State} state
 * @param {string} cid
 * @param {number} seq 0 when nothing was appended
 * @returns {State}
 */
function acknowledge(state, cid, seq) {
  if (state.asking?.cid === cid) return { ...state, asking: null };
  const isHere = !seq || (state.last ?? 0) >= seq;
  if (isHere) return { ...state, entries: state.entries.filter((entry) => entry.cid !== cid) };
  return edit(state, cid, { state: 'sent', isLate: false, seq });
}

/**
 * Applies one event by the client rule.
 * @param {State} state
 * @param {Event} event
 * @returns {State}
 */
function take(state, event) {
  const where = state.last === null ? 'gap' : place(state.last, event.seq);
  if (where === 'drop') return state;
  if (where === 'gap') return { ...state, hasGap: state.last !== null };
  const next = {
    ...state,
    events: [...state.events, event],
    last: event.seq,
    isTyping: state.isTyping && event.sender.kind === 'visitor',
    entries: event.cid ? state.entries.filter((entry) => entry.cid !== event.cid) : state.entries,
  };
  // What was kept is sent also while the conversation is shut, so it does not prove that the answers before it were read.
  if (event.sender.kind === 'visitor' && event.seq === next.read + 1) next.read = event.seq;
  const { view } = state;
  if (!view || event.seq <= view.top) return next; // the view we were given already knows it
  return { ...next, ...follow({ ...view, top: event.seq }, event) };
}

/**
 * What a new event means for the view.
 * @param {View} view
 * @param {Event} event
 * @returns {Partial<State>}
 */
function follow(view, event) {
  switch (event.kind) {
    case 'assigned':
      return { view: { ...view, state: 'assigned', agent: event.body.agent } };
    case 'closed':
      return { view: { ...view, state: 'closed', agent: null, check: null }, isTyping: false };
    case 'reopened':
      return { view: { ...view, state: 'waiting', agent: null } };
    case 'frozen':
    case 'unfrozen':
      return { view: { ...view, frozen: event.kind === 'frozen' } };
    case 'standing':
      return { view: { ...view, standing: event.body.standing } };
    case 'check': {
      const before = view.check;
      const { check } = event.body;
      const goesOn = before?.id === check.id && before.state === 'started' && check.state === 'started';
      const isWrong = goesOn && (check.tries_left ?? 0) < (before.tries_left ?? 0);
      const isResent = goesOn && (check.sends_left ?? 0) < (before.sends_left ?? 0);
      return { view: { ...view, check }, checkNote: isWrong ? 'wrong' : isResent ? 'resent' : '', failure: null };
    }
    case 'message': {
      // Each message of the customer's moves the end of what was proven.
      const { standing } = view;
      if (event.sender.kind !== 'visitor') return { view };
      // What was said of the last code stands no longer: it would look as if it were about this message.
      if (!standing?.idle) return { view, checkNote: '' };
      return { view: { ...view, standing: { ...standing, until: Math.min(standing.most ?? 0, event.at + standing.idle) } } };
    }
    default:
      return { view };
  }
}

/**
 * @param {State} state
 * @param {Event[]} items rising
 * @param {boolean} more
 * @returns {State}
 */
function prepend(state, items, more) {
  const first = state.events[0]?.seq ?? (state.last ?? 0) + 1;
  const older = items.filter((event) => event.seq < first);
  const joins = older.length > 0 && older.at(-1)?.seq === first - 1;
  return { ...state, isFetching: false, hasOlder: more, events: joins ? [...older, ...state.events] : state.events };
}

/**
 * @param {State} state
 * @param {import('../../static/shared/frames.js').Failure} frame
 * @returns {State}
 */
function fail(state, { cid, code, sentence, retry_after }) {
  if (!cid) return { ...state, isFetching: false };
  if (state.asking?.cid === cid) {
    if (code === 'code_refused') return { ...state, asking: null, checkNote: 'wrong' };
    return { ...state, asking: null, failure: { deed: state.asking.deed, code, sentence } };
  }
  if (isPassing(code, retry_after)) return edit(state, cid, { isLate: true });
  return edit(state, cid, { state: 'refused', isLate: false, code, sentence });
}

/**
 * Whether the same frame may be accepted later, so that it waits and is sent again.
 * @param {string} code
 * @param {number} [retryAfter] seconds
 * @returns {boolean}
 */
export function isPassing(code, retryAfter) {
  return Boolean(retryAfter) || ['too_many', 'unavailable', 'store_down', 'internal'].includes(code);
}

/**
 * @param {State} state
 * @returns {number} messages of the company's that this person has not read
 */
export function unread(state) {
  return state.events.filter(({ kind, sender, seq }) => kind === 'message' && sender.kind !== 'visitor' && seq > state.read).length;
}

/**
 * Whether all that the server has told us of is here, so that what still waits really is unknown to it.
 * @param {State} state
 * @returns {boolean}
 */
export function isCaughtUp(state) {
  return state.link === 'online' && !state.hasGap && state.last !== null && state.last >= (state.view?.top ?? 0);
}
