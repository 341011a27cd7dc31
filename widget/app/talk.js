/**
 * Joins the socket, the memory and the reducer: what is sent, when, and again until it is answered.
 *
 * Waiting messages go one at a time, in order; each keeps its client id however often it is sent.
 *
 * @module
 */
import { newCid } from '../../static/shared/cid.js';
import { sendable } from '../../static/shared/text.js';
import { Link, socketUrl } from '../../static/shared/socket.js';
import { begin, isCaughtUp, isPassing, reduce } from './reducer.js';

/** @typedef {import('./reducer.js').State} State */
/** @typedef {import('./reducer.js').Entry} Entry */
/** @typedef {import('./reducer.js').Action} Action */
/** @typedef {import('../../static/shared/frames.js').FromVisitor} FromVisitor */

/** After this long without an answer the person is told, and the message is sent again. */
export const LATE_MS = 10_000;
const TYPING_MS = 3_000;
/** Staff that typed and said nothing for this long has stopped. */
const QUIET_MS = 6_000;
const MARK_MS = 300;
/** A message of another tab is that tab's to send; after this long it may be dead. */
const FOREIGN_MS = 5_000;

export class Talk {
  /**
   * @param {{site: string, config: Parameters<typeof begin>[0], memory: import('./memory.js').Memory, lang: 'en'|'fr',
   *   onChange: (state: State) => void, url?: string}} parts
   */
  constructor({ site, config, memory, lang, onChange, url }) {
    this.site = site;
    this.memory = memory;
    this.lang = lang;
    this.onChange = onChange;
    this.state = reduce(begin(config), { type: 'entries', entries: memory.entries() });
    /** Where the conversation began: sent with the first message. */
    this.origin = { page: '', title: '' };
    /** Whether the person sees the thread, and its end. */
    this.isSeen = false;
    /** @type {FromVisitor|null} */
    this.deed = null;
    /** @type {{cid: string, timer: ReturnType<typeof setTimeout>}|null} */
    this.inFlight = null;
    /** Until when the server asked us to hold back. */
    this.pausedUntil = 0;
    this.typedAt = 0;
    this.marked = '';
    this.isDeedDue = false;
    /** @typedef {ReturnType<typeof setTimeout>|undefined} Timer */
    /** @type {Timer} */
    this.quiet = undefined;
    /** @type {Timer} */
    this.lateness = undefined;
    /** @type {Timer} */
    this.marking = undefined;
    /** @type {Set<string>} */
    this.mine = new Set(this.state.entries.map((entry) => entry.cid));
    this.link = new Link({
      url: url ?? socketUrl('/ws/visitor'),
      hello: () => this.#hello(),
      onFrame: (frame) => this.#receive(frame),
      onState: (link) => {
        if (link !== 'online') this.#forgetFlight();
        this.dispatch({ type: 'link', link });
      },
    });
  }

  /** @param {Action} action */
  dispatch(action) {
    const before = this.state;
    this.state = reduce(before, action);
    if (this.state !== before) this.onChange(this.state);
  }

  // ── what the person does ──

  /**
   * @param {string} text
   * @param {string} [name]
   */
  say(text, name) {
    const cid = newCid();
    if (!this.memory.isKnown) this.memory.keepToken(); // from the first message on, coming back must work
    this.mine.add(cid);
    // A clock that was set back must not turn the order round.
    const at = Math.max(Date.now(), (this.memory.entries().at(-1)?.at ?? 0) + 1);
    this.memory.keep({ cid, text, name, at, state: 'waiting' });
    this.#reread();
    this.flush();
  }

  /** Sends a refused message once more, as a new one. @param {string} cid */
  again(cid) {
    const entry = this.state.entries.find((one) => one.cid === cid);
    this.withdraw(cid);
    if (entry) this.say(entry.text, entry.name);
  }

  /** Takes back a message that was refused. @param {string} cid */
  withdraw(cid) {
    this.memory.drop(cid);
    this.#reread();
  }

  /**
   * @param {'start_check'|'code'|'resend'|'end'} deed
   * @param {Record<string, string>} [fields]
   */
  ask(deed, fields = {}) {
    if (!this.state.view) return;
    const cid = newCid();
    this.deed = /** @type {FromVisitor} */ ({ t: deed, cid, conversation: this.state.view.id, ...fields });
    this.dispatch({ type: 'asked', cid, deed });
    this.link.send(this.deed);
  }

  type() {
    if (!this.state.view || Date.now() - this.typedAt < TYPING_MS) return;
    this.typedAt = Date.now();
    this.link.send({ t: 'typing', conversation: this.state.view.id });
  }

  older() {
    const { view, events, hasOlder, isFetching } = this.state;
    if (!view || !hasOlder || isFetching || !events[0]) return;
    if (this.link.send({ t: 'history', conversation: view.id, before: events[0].seq })) this.dispatch({ type: 'fetching' });
  }

  /** @param {boolean} isSeen */
  look(isSeen) {
    this.isSeen = isSeen;
    this.#mark();
  }

  /** @param {'en'|'fr'} lang */
  speak(lang) {
    this.lang = lang;
    this.memory.keepLang(lang);
    this.link.restart(); // hello carries the language
  }

  // ── what happens by itself ──

  /** Another tab of this browser has stored something. @param {string|null} key */
  stored(key) {
    if (key !== null && !key.startsWith(this.memory.prefix)) return;
    const isNew = this.memory.renewToken();
    const count = this.state.entries.length;
    this.#reread();
    // Without a conversation we are somebody else to the server until we say hello with the common token.
    if (!this.state.view && (isNew || this.state.entries.length < count)) this.link.restart();
    setTimeout(() => this.flush(), FOREIGN_MS);
  }

  #hello() {
    this.memory.renewToken();
    const { view, last, epoch } = this.state;
    const resume = view && last ? { conversation: view.id, last_seq: last, epoch } : {};
    return { t: 'hello', v: 1, site: this.site, token: this.memory.token, lang: this.lang, ...resume };
  }

  /** @param {import('../../static/shared/frames.js').ToVisitor} frame */
  #receive(frame) {
    if (frame.t === 'token') {
      this.memory.keepToken(frame.token);
      this.link.send({ t: 'token_kept' });
      return;
    }
    const hadGap = this.state.hasGap;
    this.dispatch({ type: 'frame', frame, now: Date.now() / 1000 });
    const { view, last, hasGap } = this.state;
    if (hasGap && (!hadGap || frame.t === 'pos') && view) this.link.send({ t: 'resync', conversation: view.id, last_seq: last ?? 0 });
    if (frame.t === 'ack' || frame.t === 'opened' || (frame.t === 'error' && frame.cid)) this.#answered(frame);
    if (frame.t === 'event' && frame.cid) this.#settle(frame.cid);
    if (frame.t === 'events') for (const { cid } of frame.items) if (cid) this.#settle(cid);
    if (frame.t === 'typing') {
      clearTimeout(this.quiet);
      this.quiet = setTimeout(() => this.dispatch({ type: 'quiet' }), QUIET_MS);
    }
    if (frame.t === 'welcome') {
      this.marked = ''; // a mark may have gone down with the line
      this.isDeedDue = this.deed !== null;
    }
    if (this.isDeedDue && this.deed && isCaughtUp(this.state)) {
      this.isDeedDue = false;
      this.link.send(this.deed);
    }
    this.#mark();
    this.flush();
  }

  /** @param {import('../../static/shared/frames.js').Ack|import('../../static/shared/frames.js').Opened|import('../../static/shared/frames.js').Failure} frame */
  #answered(frame) {
    const cid = frame.cid ?? '';
    if (this.deed && 'cid' in this.deed && this.deed.cid === cid) {
      this.deed = null;
      return;
    }
    if (frame.t === 'error') {
      if (this.inFlight?.cid === cid) this.#forgetFlight();
      if (isPassing(frame.code, frame.retry_after)) {
        const wait = (frame.retry_after || 2) * 1000;
        this.pausedUntil = Date.now() + wait;
        setTimeout(() => this.flush(), wait + 20);
      } else {
        const entry = this.state.entries.find((one) => one.cid === cid);
        if (entry) this.memory.keep(entry);
      }
    } else this.#settle(cid);
  }

  /** It is durable. @param {string} cid */
  #settle(cid) {
    this.memory.drop(cid);
    if (this.inFlight?.cid === cid) this.#forgetFlight();
  }

  #forgetFlight() {
    clearTimeout(this.inFlight?.timer);
    this.inFlight = null;
  }

  #reread() {
    this.dispatch({ type: 'entries', entries: this.memory.entries() });
  }

  /** Sends the oldest waiting message, if the one before it is settled. */
  flush() {
    this.#watchLateness();
    if (this.inFlight || !isCaughtUp(this.state) || Date.now() < this.pausedUntil) return;
    const entry = this.state.entries.find((one) => one.state === 'waiting');
    if (!entry || (!this.mine.has(entry.cid) && Date.now() - entry.at < FOREIGN_MS)) return;
    const { cid } = entry;
    const text = sendable(entry.text);
    const name = sendable(entry.name ?? '');
    const origin = { ...this.origin, title: sendable(this.origin.title) };
    const { view } = this.state;
    const isSent = this.link.send(
      view ? { t: 'post', cid, conversation: view.id, text } : { t: 'open', cid, text, ...(name ? { name } : {}), ...origin },
    );
    if (!isSent) return;
    const timer = setTimeout(() => {
      this.dispatch({ type: 'late', cid });
      this.#forgetFlight();
      this.flush();
    }, LATE_MS);
    this.inFlight = { cid, timer };
  }

  /** Without a line nothing is in flight, and yet the person must be told after the same time. */
  #watchLateness() {
    clearTimeout(this.lateness);
    const next = this.state.entries.find((one) => one.state === 'waiting' && !one.isLate);
    if (!next) return;
    this.lateness = setTimeout(() => {
      this.dispatch({ type: 'late', cid: next.cid });
      this.#watchLateness();
    }, Math.max(0, next.at + LATE_MS - Date.now()));
  }

  /** Tells what has arrived and what was read, once per burst. */
  #mark() {
    const { view, last } = this.state;
    if (this.isSeen && last) this.dispatch({ type: 'seen', read: last });
    if (!view || !last) return;
    this.marking ??= setTimeout(() => {
      this.marking = undefined;
      const read = this.state.read;
      const mark = { t: 'mark', conversation: view.id, delivered: this.state.last ?? 0, read };
      const key = JSON.stringify(mark);
      if (key !== this.marked && this.link.send(mark)) this.marked = key;
    }, MARK_MS);
  }
}
