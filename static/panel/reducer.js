/**
 * The panel's state and how frames and the agent's own doings change it.
 *
 * Pure: (state, action, now) → state. Must not know the socket, the screen, the clock or random numbers.
 *
 * @module
 */
import { isGiven, isMine } from './lists.js';
import { TYPING_SECONDS, applyEvent, applyMarks, applyPage, emptyThread, lostThread, resetThread } from './thread.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Thread} Thread */
/** @typedef {import('./state.js').Action} Action */
/** @typedef {import('./state.js').Pending} Pending */
/** @typedef {import('./state.js').Notice} Notice */

/** Errors after which the same message is sent again by itself: nothing is wrong with it. */
export const PASSING = new Set(['too_many', 'unavailable', 'store_down', 'internal']);

/** Alarms that freeze the conversation. */
const FREEZING = new Set(['not_me', 'not_me_used']);

/** @type {State} */
export const INITIAL = {
  phase: 'starting',
  me: null,
  sites: [],
  agents: [],
  epoch: '',
  skew: 0,
  isOnline: false,
  linkSince: 0,
  inbox: {},
  isInboxKnown: false,
  inboxTab: 'queue',
  place: 'inbox',
  given: [],
  open: [],
  active: '',
  threads: {},
  pending: [],
  notices: [],
  lastNotice: 0,
};

/**
 * @param {State} state
 * @param {Action} action a frame of the server, or something done here (`do_…`)
 * @param {number} now our clock, epoch seconds
 * @returns {State}
 */
export function reduce(state, action, now) {
  switch (action.t) {
    case 'welcome':
      return welcomed(state, action, now);
    case 'reset':
      return withThread(action.resumed ? state : drawn(state, action.conversation), action.conversation, (thread) => resetThread(thread, action));
    case 'events':
      return settled(withThread(state, action.conversation, (thread) => applyPage(thread, action)), action.items);
    case 'event':
      return happened(state, action);
    case 'inbox':
      return followed(given(withEntry(state, action.entry), [action.entry], state), action.entry, state);
    case 'gone':
      return gone(state, action.conversation);
    case 'presence':
      return { ...state, agents: action.agents };
    case 'marks':
      return withThread(state, action.conversation, (thread) => applyMarks(thread, action));
    case 'typing': {
      const typingUntil = now + state.skew + TYPING_SECONDS;
      return action.who === 'staff' ? state : withThread(state, action.conversation, (thread) => ({ ...thread, typingUntil }));
    }
    case 'pos':
      return positions({ ...state, skew: action.now - now }, action.positions ?? {});
    case 'ack':
      return acked(state, action);
    case 'record':
      // One that nobody waits for any more would bring back what was hidden, or has changed, meanwhile.
      if (!state.pending.some((one) => one.cid === action.cid)) return state;
      return withThread(unasked(state, action.conversation, action.cid), action.conversation, (thread) => ({ ...thread, record: action }));
    case 'error':
      return refused(state, action);
    case 'drain':
      return state;
    default:
      return doing(state, action, now);
  }
}

/**
 * @param {State} state
 * @param {import('./state.js').Doing} action
 * @param {number} now
 * @returns {State}
 */
function doing(state, action, now) {
  switch (action.t) {
    case 'do_start':
      return action.me ? signedIn(state, action.me, now) : { ...state, phase: 'signed_out' };
    case 'do_sign_out':
      // What was not sent yet is kept for the same agent's return; what was read is not.
      return { ...INITIAL, phase: 'signed_out', me: state.me, open: state.open, active: state.active, pending: state.pending };
    case 'do_link':
      if (state.isOnline === action.online) return state;
      return { ...state, isOnline: action.online, linkSince: now };
    case 'do_open': {
      const id = action.conversation;
      const open = state.open.includes(id) ? state.open : [...state.open, id];
      return { ...notGiven(state, id), open, active: id, place: 'thread', threads: { [id]: emptyThread(id), ...state.threads } };
    }
    case 'do_shut':
      return shut(state, action.conversation);
    case 'do_inbox_tab':
      return { ...state, inboxTab: action.tab };
    case 'do_place':
      return { ...state, place: action.place };
    case 'do_verb': {
      /** @type {Pending} */
      const pending = { cid: action.cid, verb: action.verb, at: now + state.skew, state: 'waiting' };
      return { ...state, pending: [...state.pending, pending] };
    }
    case 'do_retry':
      return withPending(state, action.cid, (pending) => ({ ...pending, state: 'waiting', at: now + state.skew }));
    case 'do_forget':
      return forget(state, action.cid);
    case 'do_older':
      return withThread(state, action.conversation, (thread) => ({ ...thread, isLoadingOlder: true }));
    case 'do_asked':
      return withThread(state, action.conversation, (thread) => ({ ...thread, hasGap: false, wantsWatch: false }));
    case 'do_hide_record':
      return withThread(unasked(state, action.conversation), action.conversation, (thread) => ({ ...thread, record: null }));
    case 'do_read': {
      const { conversation, read } = action;
      const entry = state.inbox[conversation];
      const next = withThread(notGiven(state, conversation), conversation, (thread) => applyMarks(thread, { who: 'staff', read }));
      // Its thread may know more than the line: whose it is since a moment.
      return entry?.unread ? { ...next, inbox: { ...next.inbox, [conversation]: { ...entry, unread: 0 } } } : next;
    }
    case 'do_dismiss':
      return { ...state, notices: state.notices.filter((notice) => notice.id !== action.id) };
    default:
      return state; // a frame of a later version
  }
}

/**
 * @param {State} state
 * @param {import('./state.js').Colleague} me
 * @param {number} now
 * @returns {State}
 */
function signedIn(state, me, now) {
  const isSame = state.me === null || state.me.id === me.id;
  const kept = isSame ? state : INITIAL; // another person must not find what this one was writing
  const threads = Object.fromEntries(kept.open.map((id) => [id, kept.threads[id] ?? emptyThread(id)]));
  return { ...kept, threads, phase: 'signed_in', me, isOnline: false, linkSince: now };
}

/**
 * @param {State} state
 * @param {Extract<Action, {t: 'welcome'}>} frame
 * @param {number} now
 * @returns {State}
 */
function welcomed(state, frame, now) {
  if (!('me' in frame)) return state; // a visitor's welcome is not for us
  const { me, sites, agents, epoch } = frame;
  const inbox = Object.fromEntries(frame.inbox.map((entry) => [entry.id, entry]));
  // With another epoch the store was restored: the numbers that we hold mean nothing there.
  const isSameStore = state.epoch === epoch || state.epoch === '';
  const threads = isSameStore ? state.threads : Object.fromEntries(state.open.map((id) => [id, emptyThread(id)]));
  const next = { ...state, me, sites, agents, epoch, inbox, threads, isInboxKnown: true, skew: frame.now - now };
  return given(next, frame.inbox, state);
}

/**
 * Marks and tells what a colleague has given us meanwhile, and forgets what has left us.
 * @param {State} state
 * @param {import('./state.js').Entry[]} entries that came
 * @param {State} before
 * @returns {State}
 */
function given(state, entries, before) {
  const came = entries.filter((entry) => isGiven(state, before, entry)).map(({ id }) => id);
  const left = state.given.filter((id) => came.includes(id) || !isMine(state, state.inbox[id]));
  const news = /** @type {const} */ ({ kind: 'given', code: '', sentence: '', retryAfter: 0 });
  return came.reduce((next, id) => noticed({ ...next, given: [...next.given, id] }, { ...news, conversation: id }), left.reduce(notGiven, state));
}

/** It was opened or has left us: nothing marks or tells it any more. @param {State} state @param {string} id @returns {State} */
function notGiven(state, id) {
  const notices = state.notices.filter(({ kind, conversation }) => kind !== 'given' || conversation !== id);
  return { ...state, notices, given: state.given.filter((one) => one !== id) };
}

/**
 * @param {State} state
 * @param {import('./state.js').Event} event
 * @returns {State}
 */
function happened(state, event) {
  const before = state.threads[event.conversation];
  const next = settled(withThread(state, event.conversation, (thread) => applyEvent(thread, event)), [event]);
  const isNew = before && !before.isFresh && event.seq === before.top + 1;
  if (isNew && event.kind === 'alarm') return noticed(next, { kind: 'alarm', code: event.body.code, sentence: '', conversation: event.conversation, retryAfter: 0 });
  // Released again, it need not be told any more that it is frozen.
  if (event.kind === 'unfrozen') return { ...next, notices: next.notices.filter((one) => one.conversation !== event.conversation || !FREEZING.has(one.code)) };
  return next;
}

/**
 * What came back under our cid is no longer on its way.
 * @param {State} state
 * @param {import('./state.js').Event[]} events
 * @returns {State}
 */
function settled(state, events) {
  if (state.pending.length === 0) return state;
  const back = new Set(events.map((event) => event.cid).filter(Boolean));
  const pending = state.pending.filter((item) => !(back.has(item.cid) && isWriting(item)));
  return pending.length === state.pending.length ? state : { ...state, pending };
}

/** A reply or a note stays in the thread until its event takes its place; other verbs end with their answer.
 * @param {Pending} item */
export const isWriting = (item) => item.verb.t === 'post' || item.verb.t === 'note';

/**
 * @param {State} state
 * @param {Extract<Action, {t: 'ack'}>} ack
 * @returns {State}
 */
function acked(state, ack) {
  const item = state.pending.find((pending) => pending.cid === ack.cid);
  if (!item) return state;
  const thread = state.threads[ack.conversation];
  const isDrawn = !thread || thread.isFresh || ack.seq <= thread.top;
  if (!isWriting(item) || isDrawn) return forget(state, ack.cid);
  // Held or sent is told by its event; where none comes, since we no longer follow, by this.
  return withPending(state, ack.cid, (pending) => ({ ...pending, state: 'acked', isHeld: Boolean(ack.held) }));
}

/**
 * Nobody waits for this conversation's booking any more, or only for an answer younger than that to `upTo`.
 * @param {State} state
 * @param {string} id
 * @param {string} [upTo] a cid
 */
function unasked(state, id, upTo) {
  const last = upTo ? state.pending.findIndex(({ cid }) => cid === upTo) : Infinity;
  return { ...state, pending: state.pending.filter(({ verb }, at) => at > last || verb.t !== 'show_record' || verb.conversation !== id) };
}

/**
 * What is safe and comes back among the events that follow a `reset` is no longer on its way.
 * @param {State} state
 * @param {string} id
 */
const drawn = (state, id) => ({ ...state, pending: state.pending.filter((item) => item.state !== 'acked' || item.verb.conversation !== id) });

/**
 * @param {State} state
 * @param {Extract<Action, {t: 'error'}>} error
 * @returns {State}
 */
function refused(state, error) {
  const { code, sentence, cid, conversation = '', retry_after: retryAfter = 0 } = error;
  const item = cid && state.pending.find((pending) => pending.cid === cid);
  if (item) {
    const { verb } = item;
    // A node of the version before does not know `lang`: asked without, it tells the record in the conversation's language.
    if (code === 'bad_frame' && verb.t === 'show_record' && verb.lang) {
      return withPending(state, item.cid, (pending) => ({ ...pending, verb: { t: 'show_record', conversation: verb.conversation } }));
    }
    if (isWriting(item)) {
      const next = withPending(state, cid, (pending) => ({ ...pending, state: PASSING.has(code) ? 'waiting' : 'failed', code, sentence }));
      // Its tab was closed meanwhile: nothing else would tell that it was not sent.
      const isSeen = PASSING.has(code) || next.threads[item.verb.conversation];
      return isSeen ? next : noticed(next, { kind: 'error', code, sentence, conversation: item.verb.conversation, retryAfter });
    }
    return noticed(forget(state, cid), { kind: 'error', code, sentence, conversation: item.verb.conversation, retryAfter });
  }
  const thread = state.threads[conversation];
  // A tab kept from before that is not ours any more: nothing of it was ever shown here, so it just goes.
  if (code === 'not_found' && thread) return thread.view ? withThread(gone(state, conversation), conversation, lostThread) : shut(state, conversation);
  // Nobody pressed anything for a frame without a cid: what is not ours any more leaves by `gone`.
  if (code === 'not_found') return state;
  return noticed(state, { kind: 'error', code, sentence, conversation, retryAfter });
}

/**
 * The newest last; the same thing told again takes the place of the old. What the list marks too gives way to the rest.
 * @param {State} state
 * @param {Omit<Notice, 'id'>} notice
 * @returns {State}
 */
function noticed(state, notice) {
  const id = state.lastNotice + 1;
  const { kind, code, conversation } = notice;
  const others = state.notices.filter((old) => old.code !== code || old.conversation !== conversation || old.kind !== kind);
  const told = { id, ...notice };
  return { ...state, lastNotice: id, notices: (kind === 'given' ? [told, ...others] : [...others, told]).slice(-4) };
}

/**
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function gone(state, id) {
  const { [id]: _, ...inbox } = state.inbox;
  return withThread({ ...notGiven(state, id), inbox }, id, (thread) => ({ ...thread, isGone: true, record: null }));
}

/**
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function shut(state, id) {
  const at = state.open.indexOf(id);
  const open = state.open.filter((other) => other !== id);
  const active = state.active === id ? (open[Math.min(Math.max(at, 0), open.length - 1)] ?? '') : state.active;
  const { [id]: _, ...threads } = state.threads;
  // What failed stands nowhere else: it waits here until the conversation is opened again, as a draft does.
  const pending = drawn(state, id).pending;
  return { ...state, open, active, threads, pending, place: active ? state.place : 'inbox' };
}

/**
 * @param {State} state
 * @param {import('./state.js').Entry} entry
 * @returns {State}
 */
function withEntry(state, entry) {
  const next = { ...state, inbox: { ...state.inbox, [entry.id]: entry } };
  return withThread(next, entry.id, (thread) => {
    // Reading what is not ours is recorded: only what is ours again is followed by itself.
    if (thread.isLost) return { ...thread, wantsWatch: isMine(next, entry) };
    return thread.view ? { ...thread, isGone: false, view: { ...thread.view, entry } } : { ...thread, isGone: false };
  });
}

/**
 * After the last of the queue was taken, the list goes where that one went.
 * @param {State} state
 * @param {import('./state.js').Entry} entry
 * @param {State} before
 * @returns {State}
 */
function followed(state, entry, before) {
  const isTaken = isMine(state, entry) && !isMine(before, before.inbox[entry.id]);
  if (state.inboxTab !== 'queue' || entry.id !== state.active || !isTaken) return state;
  const isQueueEmpty = Object.values(state.inbox).every((one) => one.state !== 'waiting');
  return isQueueEmpty ? { ...state, inboxTab: 'mine' } : state;
}

/**
 * @param {State} state
 * @param {Record<string, number>} tops
 * @returns {State}
 */
function positions(state, tops) {
  const behind = Object.values(state.threads).filter((thread) => !thread.isFresh && (tops[thread.id] ?? 0) > thread.top);
  return behind.reduce((next, { id }) => withThread(next, id, (thread) => ({ ...thread, hasGap: true })), state);
}

/**
 * Changes a thread that is open; others are nobody's business here.
 * @param {State} state
 * @param {string} id
 * @param {(thread: Thread) => Thread} change
 * @returns {State}
 */
function withThread(state, id, change) {
  const thread = state.threads[id];
  if (!thread) return state;
  const next = change(thread);
  return next === thread ? state : { ...state, threads: { ...state.threads, [id]: next } };
}

/**
 * @param {State} state
 * @param {string} cid
 * @param {(pending: Pending) => Pending} change
 * @returns {State}
 */
function withPending(state, cid, change) {
  return { ...state, pending: state.pending.map((item) => (item.cid === cid ? change(item) : item)) };
}

/**
 * @param {State} state
 * @param {string} cid
 * @returns {State}
 */
function forget(state, cid) {
  return { ...state, pending: state.pending.filter((item) => item.cid !== cid) };
}
