/**
 * The agent's desk: joins the pure state to the socket, keeps what is unsaid and unsent, and tells who listens.
 *
 * Knows when to send, resend and ask again. Must not know the screen.
 *
 * @module
 */
import { newCid } from '../shared/cid.js';
import { sendable } from '../shared/text.js';
import { Link, socketUrl } from '../shared/socket.js';
import * as api from './api.js';
import { saveTabs, savedTabs } from './kept.js';
import { isBusy, isForeign, isMine } from './lists.js';
import { INITIAL, PASSING, isWriting, reduce } from './reducer.js';
import { standingNow, topVisible } from './thread.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Action} Action */
/** @typedef {import('./state.js').Verb} Verb */
/** @typedef {'reply'|'note'} Mode */
/** @typedef {{mode: Mode, reply: string, note: string}} Draft */

/** After so long without an answer a verb is sent again, and its message is called "not sent yet". */
export const PATIENCE_SECONDS = 10;
/** How often a line that does not open is asked whether the session has ended. */
const PROBE_EVERY_SECONDS = 5;
const TYPING_EVERY_MS = 3_000;
const MARK_AFTER_MS = 150;
const REFRESH_AFTER_MS = 700;

/** Our clock in epoch seconds. */
const clock = () => Date.now() / 1000;

export class Desk {
  /** @param {(state: State, before: State) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {State} */
    this.state = INITIAL;
    /** What the agent reads: the company's words come in it. @type {import('../shared/frames.js').Lang} */
    this.lang = 'en';
    /** What is unsaid, in memory only: it must not lie in clear on a disk. @type {Map<string, Draft>} */
    this.drafts = new Map();
    /** @type {Map<string, () => void>} */
    this.draftChanged = new Map();
    /** When each verb was last sent, our clock. @type {Map<string, number>} */
    this.sentAt = new Map();
    /** What to do when a verb is answered well. @type {Map<string, () => void>} */
    this.then = new Map();
    /** Marks told to the server: [delivered, read]. @type {Map<string, [number, number]>} */
    this.told = new Map();
    /** @type {Map<string, number>} */
    this.readTo = new Map();
    /** The conversation whose composer takes the focus as soon as it is there. */
    this.focusNext = '';
    this.lastTyping = 0;
    this.probedAt = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.marking = undefined;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.refreshing = undefined;
    this.link = new Link({
      url: socketUrl('/ws/agent'),
      hello: () => this.#hello(),
      onFrame: (frame) => this.#heard(frame),
      onState: (state, code) => this.#linked(state, code),
      final: [4400, 4401, 4403],
    });
    setInterval(() => this.#resend(), 1_000);
  }

  /** The server's clock as far as we know it, epoch seconds. */
  now() {
    return clock() + this.state.skew;
  }

  /** @param {Action} action */
  dispatch(action) {
    const before = this.state;
    this.state = reduce(before, action, clock());
    if (this.state === before) return;
    this.#catchUp();
    this.onChange(this.state, before);
    if (action.t === 'record' || this.state.active !== before.active) this.#translate();
  }

  // ── coming and going ──

  /** Finds out whether somebody is signed in. Throws Refusal when the server cannot be reached. */
  async start() {
    const me = await api.whoAmI();
    this.dispatch({ t: 'do_start', me });
    if (me) this.#begin();
  }

  /**
   * @param {string} email
   * @param {string} password
   */
  async signIn(email, password) {
    const before = this.state.me;
    const me = await api.signIn(email, password);
    if (before && before.id !== me.id) this.#forgetTexts();
    this.dispatch({ t: 'do_start', me });
    this.#begin();
  }

  /** Leaving by one's own will leaves nothing behind. */
  async signOut() {
    try {
      await api.signOut();
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error;
      if (error.status !== 401) {
        this.dispatch({ t: 'error', code: error.code || 'unavailable', sentence: error.message });
        return;
      }
    }
    this.link.stop();
    this.#forgetTexts();
    for (const { cid } of this.state.pending) this.dispatch({ t: 'do_forget', cid });
    saveTabs([]);
    location.reload();
  }

  #begin() {
    for (const id of savedTabs()) if (!this.state.open.includes(id)) this.dispatch({ t: 'do_open', conversation: id });
    this.dispatch({ t: 'do_place', place: 'inbox' });
    this.link.start();
  }

  #forgetTexts() {
    this.drafts.clear();
    this.then.clear();
    this.sentAt.clear();
  }

  async #hello() {
    /** @type {string} */
    let ticket;
    try {
      ticket = await api.ticket();
    } catch (error) {
      if (error instanceof api.Refusal && error.status === 401) this.#leave();
      throw error;
    }
    const { open, threads, epoch } = this.state;
    const conversations = Object.fromEntries(open.slice(-100).map((id) => [id, threads[id]?.top ?? 0]));
    return { t: 'hello', v: 1, ticket, epoch, conversations };
  }

  /** The session has ended: the log-in is shown; unsent texts stay. */
  #leave() {
    this.link.stop();
    this.told.clear();
    this.dispatch({ t: 'do_sign_out' });
  }

  /**
   * @param {import('../shared/socket.js').LinkState} state
   * @param {number} code
   */
  #linked(state, code) {
    if (state === 'refused' && code === 4401) {
      this.#leave();
      return;
    }
    if (state === 'refused') this.dispatch({ t: 'error', code: code === 4403 ? 'bad_origin' : 'bad_frame', sentence: '' });
    if (state !== 'online') this.dispatch({ t: 'do_link', online: false });
    if (state === 'waiting') this.#probe();
  }

  /** A socket that is refused at the door closes like a broken line; only HTTP tells that the session has ended. */
  async #probe() {
    if (clock() - this.probedAt < PROBE_EVERY_SECONDS) return;
    this.probedAt = clock();
    try {
      if ((await api.whoAmI()) === null && this.state.phase === 'signed_in') this.#leave();
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error; // no answer: the line is down, as we knew
    }
  }

  /** @param {any} frame */
  #heard(frame) {
    if (frame.t === 'error' && PASSING.has(frame.code) && this.state.pending.some((item) => item.cid === frame.cid && isWriting(item))) {
      this.sentAt.set(frame.cid, clock() + Math.max(1, frame.retry_after ?? PATIENCE_SECONDS) - PATIENCE_SECONDS);
    }
    this.dispatch(frame);
    if (frame.t === 'welcome') {
      this.dispatch({ t: 'do_link', online: true });
      this.told.clear();
      this.sentAt.clear();
      this.#resend();
    } else if (frame.t === 'ack' || frame.t === 'record') {
      this.then.get(frame.cid)?.();
      this.then.delete(frame.cid);
    } else if (frame.t === 'error') {
      this.then.delete(frame.cid);
      if (frame.code === 'bad_frame') this.sentAt.delete(frame.cid);
      this.#resend(); // what is asked anew in another form
    } else if (frame.t === 'event' && frame.kind === 'act' && frame.body.state === 'done') {
      const thread = this.state.threads[frame.conversation];
      // What is on its way may have been read before the change.
      if (thread?.record || (thread && isBusy(this.state, thread.id, 'show_record'))) this.showRecord(thread.id);
    } else if (frame.t === 'event' && frame.kind === 'message' && frame.sender.kind === 'visitor') {
      this.#renewView(frame.conversation);
    }
  }

  // ── asking ──

  /**
   * Asks the server for something; it is sent again under the same cid until it is answered.
   * @param {Verb} verb
   * @param {() => void} [then] when the answer is good
   */
  ask(verb, then) {
    const cid = newCid();
    if (then) this.then.set(cid, then);
    this.dispatch({ t: 'do_verb', cid, verb });
    this.#resend();
  }

  /** Takes a waiting conversation, to answer at once. @param {string} conversation */
  claim(conversation) {
    this.focusNext = conversation;
    this.ask({ t: 'claim', conversation });
  }

  /**
   * @param {string} conversation
   * @param {Mode} mode
   * @param {string} text
   */
  say(conversation, mode, text) {
    this.draft(conversation)[mode] = '';
    this.ask({ t: mode === 'note' ? 'note' : 'post', conversation, text: sendable(text) });
  }

  /** Sends what was refused once more. A cid that the server holds against another text needs a new one.
   * @param {string} cid */
  retry(cid) {
    const item = this.state.pending.find((pending) => pending.cid === cid);
    if (item?.code === 'cid_conflict') {
      this.dispatch({ t: 'do_forget', cid });
      this.ask(item.verb);
      return;
    }
    this.sentAt.delete(cid);
    this.dispatch({ t: 'do_retry', cid });
    this.#resend();
  }

  #resend() {
    if (!this.state.isOnline) return;
    for (const { cid, verb, state } of this.state.pending) {
      const sentAt = this.sentAt.get(cid);
      const isDue = sentAt === undefined || clock() - sentAt >= PATIENCE_SECONDS;
      if (state !== 'waiting' || !isDue) continue;
      if (this.link.send({ ...verb, cid })) this.sentAt.set(cid, clock());
    }
  }

  /** The agent reads another language from now on. @param {import('../shared/frames.js').Lang} lang */
  speak(lang) {
    this.lang = lang;
    this.#translate();
  }

  /** Only what is in sight: each asking is audited. */
  #translate() {
    if (isForeign(this.state, this.lang, this.now())) this.showRecord(this.state.active);
  }

  // ── conversations ──

  /** @param {string} conversation */
  open(conversation) {
    const isNew = !this.state.threads[conversation] || this.state.threads[conversation].isGone;
    this.dispatch({ t: 'do_open', conversation });
    if (isNew) this.watch(conversation);
    saveTabs(this.state.open);
  }

  /** @param {string} conversation */
  shut(conversation) {
    this.dispatch({ t: 'do_shut', conversation }); // what is unsaid in it stays, for when it is opened again
    this.told.delete(conversation);
    this.readTo.delete(conversation);
    this.link.send({ t: 'unwatch', conversation });
    saveTabs(this.state.open);
  }

  /** @param {string} conversation */
  older(conversation) {
    const first = this.state.threads[conversation]?.events[0]?.seq ?? 0;
    if (first > 1 && this.link.send({ t: 'history', conversation, before: first })) {
      this.dispatch({ t: 'do_older', conversation });
    }
  }

  /** Asks for the newest view: the references noticed come with nothing else. @param {string} conversation */
  watch(conversation) {
    this.link.send({ t: 'watch', conversation, last_seq: this.state.threads[conversation]?.top ?? 0 });
  }

  /** @param {string} conversation */
  #renewView(conversation) {
    // Reading what is not ours is recorded each time, so it is not done behind the agent's back.
    if (!isMine(this.state, this.state.inbox[conversation])) return;
    if (standingNow(this.state.threads[conversation]?.view, this.now())) return;
    clearTimeout(this.refreshing);
    this.refreshing = setTimeout(() => this.state.threads[conversation] && this.watch(conversation), REFRESH_AFTER_MS);
  }

  /** @param {string} conversation */
  showRecord(conversation) {
    this.ask({ t: 'show_record', conversation, lang: this.lang });
  }

  /** @param {string} conversation @returns {Draft} */
  draft(conversation) {
    let draft = this.drafts.get(conversation);
    if (!draft) this.drafts.set(conversation, (draft = { mode: 'reply', reply: '', note: '' }));
    return draft;
  }

  /**
   * Puts a text back where it can be edited, in front of what stands there.
   * @param {string} conversation
   * @param {Mode} mode
   * @param {string} text
   */
  intoDraft(conversation, mode, text) {
    const draft = this.draft(conversation);
    draft.mode = mode;
    draft[mode] = [text, draft[mode]].filter(Boolean).join('\n');
    this.draftChanged.get(conversation)?.();
  }

  /**
   * @param {string} conversation
   * @param {() => void} listener told when the draft was changed by something other than typing
   * @returns {() => void} ends it
   */
  onDraft(conversation, listener) {
    this.draftChanged.set(conversation, listener);
    return () => {
      this.draftChanged.delete(conversation);
    };
  }

  /** Whether something would be lost by leaving the page. */
  hasUnsaid() {
    const isUnsent = this.state.pending.some((item) => item.state !== 'acked');
    return isUnsent || [...this.drafts.values()].some((draft) => draft.reply.trim() || draft.note.trim());
  }

  /** @param {string} conversation */
  typing(conversation) {
    if (Date.now() - this.lastTyping < TYPING_EVERY_MS) return;
    if (this.link.send({ t: 'typing', conversation })) this.lastTyping = Date.now();
  }

  /** The agent has the end of this thread before their eyes. @param {string} conversation */
  sawEnd(conversation) {
    const thread = this.state.threads[conversation];
    const read = thread ? topVisible(thread) : 0;
    const isNews = read > (this.readTo.get(conversation) ?? 0) || this.state.given.includes(conversation);
    if (!thread || !isNews || !isMine(this.state, this.state.inbox[conversation])) return;
    this.readTo.set(conversation, read);
    this.dispatch({ t: 'do_read', conversation, read });
  }

  /** Asks for what was missed and tells what has arrived. */
  #catchUp() {
    if (!this.state.isOnline) return;
    for (const { id, hasGap, wantsWatch, top } of Object.values(this.state.threads)) {
      if (!hasGap && !wantsWatch) continue;
      this.state = reduce(this.state, { t: 'do_asked', conversation: id }, clock());
      this.link.send({ t: wantsWatch ? 'watch' : 'resync', conversation: id, last_seq: top });
    }
    this.marking ??= setTimeout(() => this.#mark(), MARK_AFTER_MS);
  }

  #mark() {
    this.marking = undefined;
    for (const thread of Object.values(this.state.threads)) {
      // The customer is told that staff have read it, so only by the one who answers them.
      if (!isMine(this.state, this.state.inbox[thread.id])) continue;
      const [delivered, read] = [topVisible(thread), this.readTo.get(thread.id) ?? 0];
      const told = this.told.get(thread.id) ?? [0, 0];
      if (delivered <= told[0] && read <= told[1]) continue;
      if (this.link.send({ t: 'mark', conversation: thread.id, delivered, read })) this.told.set(thread.id, [delivered, read]);
    }
  }
}
