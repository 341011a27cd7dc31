// A WebSocket whose other end is the test: the browser's part, played by hand. Put in place by `install()`.

/** @type {Scripted[]} every socket made, in order */
export const sockets = [];

export class Scripted {
  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.sent = [];
    sockets.push(this);
  }

  send(data) {
    this.sent.push(JSON.parse(data));
  }

  /** By the page. */
  close() {
    this.readyState = 3;
    this.isClosedByPage = true;
  }

  // what the test does

  async open() {
    this.readyState = 1;
    await this.onopen?.({});
    await Promise.resolve();
  }

  say(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  end(code) {
    this.readyState = 3;
    this.onclose?.({ code });
  }

  /** The frames of one type that the page sent. */
  of(type) {
    return this.sent.filter((frame) => frame.t === type);
  }
}

export function install() {
  sockets.length = 0;
  globalThis.WebSocket = Scripted;
}

/** The newest socket. */
export const latest = () => sockets.at(-1);

/** A browser's storage. */
export class Drawer {
  #kept = new Map();
  get length() {
    return this.#kept.size;
  }
  key(at) {
    return [...this.#kept.keys()][at] ?? null;
  }
  getItem(key) {
    return this.#kept.get(key) ?? null;
  }
  setItem(key, value) {
    this.#kept.set(key, String(value));
  }
  removeItem(key) {
    this.#kept.delete(key);
  }
}

export const ROOM = 'c'.repeat(22);
export const SITE = { id: 'airline', name: 'Air Aparté', desk: 'Bookings desk', online: true };
export const PRIVACY = { host: 'Air Aparté', kept_days: 180 };

export function welcome(conversation, more = {}) {
  return { t: 'welcome', v: 1, epoch: 'e1', now: Date.now() / 1000, site: SITE, privacy: PRIVACY, ...(conversation ? { conversation } : {}), ...more };
}

export function view(top, more = {}) {
  return { id: ROOM, state: 'assigned', top, ...more };
}

export function event(seq, more = {}) {
  return { t: 'event', conversation: ROOM, seq, id: `e${seq}`, kind: 'message', at: 1_700_000_000 + seq, sender: { kind: 'agent', name: 'Claire' }, body: { text: `text ${seq}` }, ...more };
}

export function events(from, to, more = {}) {
  const items = [];
  for (let seq = from; seq <= to; seq += 1) items.push(event(seq));
  return { t: 'events', conversation: ROOM, items, top: to, ...more };
}
