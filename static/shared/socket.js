/**
 * A WebSocket that comes back: hello first, jittered reconnect, a watch for silence; and another way where a network lets
 * no WebSocket through.
 *
 * Knows how a connection is kept. Must not know what the frames mean, apart from `welcome`, `drain` and `pos`.
 * Used by the widget and by the panel.
 *
 * @module
 */
import { lazily } from './later.js';

/**
 * `connecting`: no answer to hello yet, and not every way was tried; `online`: welcomed; `waiting`: lost, tries again by itself;
 * `refused`: the server will not have us (see `onState`'s second argument); `stopped`: by us.
 * @typedef {'connecting'|'online'|'waiting'|'refused'|'stopped'} LinkState
 */

/**
 * @typedef {object} Options
 * @property {string} url wss: or ws: address
 * @property {() => object|Promise<object>} hello makes the first frame, anew for each connection; when it throws, the
 *   try counts as failed and is repeated later
 * @property {(frame: any) => void} onFrame every frame received, welcome included
 * @property {(state: LinkState, code: number) => void} onState `code`: the close code that led to it, else 0
 * @property {readonly number[]} [final] close codes after which there is no reconnect
 */

/** @typedef {WebSocket|import('./fallback.js').Stream} Line */

export const MAX_DELAY_MS = 30_000;
const FIRST_DELAY_MS = 1_000;
/** The most after a restart that was announced: the next process is soon there. */
const RESTART_DELAY_MS = 10_000;
/** The server speaks every 15 s; twice that and a bit without a word means that the line is dead. */
const SILENCE_MS = 40_000;
/** A handshake takes one exchange; some networks swallow it without a word. */
const OPEN_MS = 15_000;
/** So many lines in a row that closed before they were open: is another way open? */
const SHUT = 3;
/** After waking up, how long a ping may stay unanswered. */
const ANSWER_MS = 5_000;

/** @type {() => Promise<typeof import('./fallback.js')>} */
const fetchFallback = lazily((at) => import(at('./fallback.js')));

/**
 * Full jitter: anywhere between nothing and a ceiling that doubles to 30 s.
 * @param {number} tries failed tries so far, from 0
 * @param {number} random in [0, 1)
 * @param {number} [most] the last ceiling, in milliseconds
 * @returns {number} milliseconds
 */
export function backoff(tries, random, most = MAX_DELAY_MS) {
  return Math.floor(random * Math.min(most, FIRST_DELAY_MS * 2 ** Math.min(tries, 10)));
}

/**
 * The client rule for numbered events.
 * @param {number} last the highest number applied
 * @param {number} seq the number that came
 * @returns {'apply'|'drop'|'gap'}
 */
export function place(last, seq) {
  if (seq === last + 1) return 'apply';
  return seq <= last ? 'drop' : 'gap';
}

export class Link {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    /** @type {LinkState} */
    this.state = 'stopped';
    /** @type {Line|null} */
    this.socket = null;
    /** Whether this line is known to work, and how many in a row did not. */
    this.isThrough = false;
    this.shut = 0;
    /** Whether it was ever online, or each way failed: before, it is not lost but still being sought. */
    this.isTried = false;
    /** @type {typeof import('./fallback.js').Stream|undefined} what stands for a WebSocket now */
    this.Around = undefined;
    this.tries = 0;
    /** Milliseconds over which a server that restarts wants its clients spread; 0 without one. */
    this.spread = 0;
    this.heard = 0;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setInterval>|undefined} */
    this.watch = undefined;
    this.wake = () => this.#wake();
    this.cut = () => this.#cut();
  }

  /** Connects and stays connected until `stop`. */
  start() {
    if (this.state !== 'stopped' && this.state !== 'refused') return;
    globalThis.addEventListener?.('online', this.wake);
    globalThis.addEventListener?.('offline', this.cut);
    globalThis.document?.addEventListener('visibilitychange', this.wake);
    this.watch ??= setInterval(() => this.#listen(), 5_000);
    this.tries = 0;
    this.#connect();
  }

  /** Ends the connection for good. */
  stop() {
    globalThis.removeEventListener?.('online', this.wake);
    globalThis.removeEventListener?.('offline', this.cut);
    globalThis.document?.removeEventListener('visibilitychange', this.wake);
    clearInterval(this.watch);
    this.watch = undefined;
    clearTimeout(this.timer);
    this.#leave();
    this.#become('stopped', 0);
  }

  /** Says hello anew at once, for instance because the token has changed. */
  restart() {
    if (this.state === 'stopped') return;
    clearTimeout(this.timer);
    this.#leave();
    this.#connect();
  }

  /**
   * @param {object} frame
   * @returns {boolean} false when there is no welcomed connection; nothing is queued here
   */
  send(frame) {
    if (this.state !== 'online' || this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  async #connect() {
    this.#become('connecting', 0);
    this.isThrough = false;
    const { Around } = this;
    /** @type {Line} */
    let socket;
    try {
      socket = this.socket = new (Around ?? WebSocket)(this.options.url);
    } catch {
      // An address that the browser refuses (for instance by policy) is a failed try like any other.
      this.#lost(null, 0);
      return;
    }
    socket.onopen = async () => {
      this.isThrough = !Around;
      try {
        const hello = await this.options.hello();
        if (socket === this.socket && socket.readyState === 1) socket.send(JSON.stringify(hello));
      } catch {
        socket.close();
        this.#lost(socket, 0);
      }
    };
    socket.onmessage = (/** @type {{data: unknown}} */ message) => {
      this.isThrough = true;
      if (socket === this.socket) this.#hear(message.data);
    };
    socket.onclose = (/** @type {{code: number}} */ event) => this.#lost(socket, event.code);
    this.heard = Date.now();
  }

  /** @param {unknown} data */
  #hear(data) {
    this.heard = Date.now();
    /** @type {any} */
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      return; // not a frame of ours; the numbers will show whether something is missing
    }
    if (frame.t === 'welcome') {
      this.tries = this.spread = 0;
      this.isTried = true;
      this.#become('online', 0);
    }
    this.options.onFrame(frame);
    if (frame.t === 'drain') {
      this.spread = 1000 * (frame.after || 0);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.restart(), Math.random() * this.spread);
    }
  }

  /**
   * @param {Line|null} socket
   * @param {number} code
   */
  #lost(socket, code) {
    if (socket !== this.socket || this.state === 'stopped') return;
    this.socket = null;
    this.#count();
    clearTimeout(this.timer);
    if ((this.options.final ?? [4400, 4403]).includes(code)) {
      this.#become('refused', code);
      return;
    }
    this.timer = setTimeout(() => this.#connect(), this.#delay());
    this.isTried ||= this.isThrough || !!this.Around;
    if (this.isTried) this.#become('waiting', code);
  }

  /** Looks for another way when this one seems shut. */
  #count() {
    this.shut = this.isThrough ? 0 : this.shut + 1;
    if (this.shut < SHUT) return;
    this.shut = 0;
    fetchFallback()
      .then((it) => it.turn(this))
      .catch(() => {}) // not to be fetched, or not in time: the next three in vain ask again
      .then(() => (this.isTried ||= !this.Around));
  }

  /** How long to wait before the next try: with a server that restarts, spread over what it asked for at least. */
  #delay() {
    const random = Math.random();
    const most = this.spread ? RESTART_DELAY_MS : MAX_DELAY_MS;
    return Math.max(random * this.spread, backoff(this.tries++, random, most));
  }

  #leave() {
    const socket = this.socket;
    this.socket = null; // its late events concern nobody any more
    socket?.close();
  }

  /** Nothing is heard, or the browser says that the network has gone: the socket would notice much later. */
  #cut() {
    const { socket } = this;
    if (!socket) return;
    socket.close();
    this.#lost(socket, 1006);
  }

  /** The network or the screen is back: do not sit out the delay. */
  #wake() {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (!this.socket && (this.state === 'waiting' || this.state === 'connecting')) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#connect(), Math.random() * 2_000);
    } else if (this.state === 'online') {
      // A socket that slept may be dead without knowing it.
      const asked = Date.now();
      this.send({ t: 'ping' });
      setTimeout(() => {
        if (this.state === 'online' && this.heard < asked) this.restart();
      }, ANSWER_MS);
    }
  }

  #listen() {
    const most = this.isThrough ? SILENCE_MS : OPEN_MS;
    if (Date.now() - this.heard > most) this.#cut(); // between two tries there is nothing to cut
  }

  /**
   * @param {LinkState} state
   * @param {number} code
   */
  #become(state, code) {
    if (state === this.state) return;
    this.state = state;
    this.options.onState(state, code);
  }
}

/**
 * The address of a socket on our own host.
 * @param {string} path
 * @returns {string}
 */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
