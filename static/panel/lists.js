/**
 * What the views read out of the state: lists, counts and claims.
 *
 * Pure: time comes in as an argument. Must not know the screen.
 *
 * @module
 */
import { standingNow } from './thread.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Entry} Entry */
/** @typedef {import('./state.js').InboxTab} InboxTab */

/** A customer's wait, in seconds, from which a line turns amber, and red. */
export const AMBER_SECONDS = 120;
export const RED_SECONDS = 300;

/** Supervisors and administrators see all, override for money and release frozen conversations.
 * @param {State} state */
export const leads = (state) => state.me?.role === 'supervisor' || state.me?.role === 'admin';

/**
 * @param {State} state
 * @param {Entry|undefined} entry
 */
export const isMine = (state, entry) => entry?.state === 'assigned' && entry.agent === state.me?.id;

/**
 * Whether a conversation became ours by a colleague's doing: what we take ourselves comes from the queue.
 * @param {State} after
 * @param {State} before
 * @param {Entry} entry as it is now
 */
export function isGiven(after, before, entry) {
  const old = before.inbox[entry.id];
  return before.isInboxKnown && isMine(after, entry) && !isMine(before, old) && old?.state !== 'waiting';
}

/**
 * Who may let a held message go: what another's record, a secret or a strange link holds is a supervisor's to judge,
 * and so is money.
 * @param {State} state
 * @param {{code: string, topic: string}} held
 */
export const mayOverride = (state, held) => leads(state) || (held.code === 'needs_check' && held.topic !== 'payment');

/**
 * Whether a check can be asked for: the site has mail and a connector.
 * @param {State} state
 * @param {Entry|undefined} entry
 */
export const canCheck = (state, entry) => state.sites.find((site) => site.id === entry?.site)?.checks ?? false;

/** Whether the last word is the customer's.
 * @param {Entry} entry */
export const awaitsAnswer = (entry) => entry.state === 'waiting' || entry.snippet_from === 'visitor';

/**
 * The lines of one tab of the inbox: who waits longest first; then the answered ones, the latest first.
 * @param {State} state
 * @param {InboxTab} tab
 * @returns {Entry[]}
 */
export function lines(state, tab) {
  const entries = Object.values(state.inbox).filter((entry) => belongs(state, entry, tab));
  return entries.sort((a, b) => {
    const [first, second] = [awaitsAnswer(a), awaitsAnswer(b)];
    if (first !== second) return first ? -1 : 1;
    return (first ? a.since - b.since : b.updated - a.updated) || a.number - b.number;
  });
}

/**
 * @param {State} state
 * @param {Entry} entry
 * @param {InboxTab} tab
 */
function belongs(state, entry, tab) {
  if (tab === 'queue') return entry.state === 'waiting';
  return tab === 'mine' ? isMine(state, entry) : entry.state !== 'closed';
}

/**
 * Whether a colleague's conversation has texts that the gate holds: a supervisor may let them go where the colleague may
 * not.
 * @param {State} state
 * @param {Entry|undefined} entry
 */
export const hasHeldOfOthers = (state, entry) => leads(state) && entry?.state === 'assigned' && !isMine(state, entry) && Boolean(entry.held);

/**
 * @param {State} state
 * @returns {{queue: number, mine: number, all: number, unread: number, held: number}} `unread`: people who wait for us;
 *   `held`: colleagues' conversations in which texts are held, for who may let them go
 */
export function counts(state) {
  const entries = Object.values(state.inbox);
  const queue = entries.filter((entry) => belongs(state, entry, 'queue')).length;
  const mine = entries.filter((entry) => isMine(state, entry));
  const all = entries.filter((entry) => belongs(state, entry, 'all')).length;
  const held = entries.filter((entry) => hasHeldOfOthers(state, entry)).length;
  return { queue, mine: mine.length, all, held, unread: queue + mine.filter((entry) => entry.unread || state.given.includes(entry.id)).length };
}

/**
 * How long the customer has waited for an answer, in seconds; null when it is not their turn.
 * @param {Entry} entry
 * @param {number} now epoch seconds of the server's clock
 */
export function waited(entry, now) {
  if (!awaitsAnswer(entry) || entry.state === 'closed') return null;
  return Math.max(0, now - entry.since);
}

/** @param {number} seconds @returns {''|'amber'|'red'} */
export const urgency = (seconds) => (seconds >= RED_SECONDS ? 'red' : seconds >= AMBER_SECONDS ? 'amber' : '');

/**
 * The verb of this kind that is on its way for a conversation: its button waits.
 * @param {State} state
 * @param {string} conversation
 * @param {import('./state.js').Verb['t']} t
 */
export function isBusy(state, conversation, t) {
  return state.pending.some((item) => item.verb.t === t && item.verb.conversation === conversation && item.state !== 'failed');
}

/**
 * Whether the record in sight is in another language and can be asked for anew.
 * @param {State} state
 * @param {import('../shared/frames.js').Lang} lang what the agent reads
 * @param {number} now epoch seconds of the server's clock
 */
export function isForeign(state, lang, now) {
  const thread = state.threads[state.active];
  const spoken = thread?.record?.lang ?? lang; // a node of the version before does not say
  return spoken !== lang && (standingNow(thread?.view, now)?.level ?? 0) >= 2 && !isBusy(state, state.active, 'show_record');
}

/**
 * The colleagues a conversation can go to: who is at the desk first, then by name.
 * @param {State} state
 * @param {string} holder id of the agent who has it now
 */
export function receivers(state, holder) {
  const others = state.agents.filter((agent) => agent.id !== holder);
  return others.sort((a, b) => Number(b.online ?? false) - Number(a.online ?? false) || a.name.localeCompare(b.name));
}

/**
 * @param {State} state
 * @param {string} id
 * @returns {string} the colleague's name, or '' when unknown
 */
export function nameOf(state, id) {
  return state.agents.find((agent) => agent.id === id)?.name ?? '';
}

/**
 * Where the agent may write in a conversation.
 * @param {State} state
 * @param {Entry} entry
 * @returns {'reply'|'lead'|'note'|'claim'|'frozen'|'closed'} `lead`: in a colleague's place
 */
export function mayWrite(state, entry) {
  if (entry.state === 'closed') return 'closed';
  if (entry.frozen) return 'frozen';
  if (entry.state === 'waiting') return 'claim';
  if (isMine(state, entry)) return 'reply';
  return leads(state) ? 'lead' : 'note';
}
