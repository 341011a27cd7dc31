/**
 * What stays in this browser, per site: the token, the language chosen, messages not yet acknowledged.
 *
 * Must not keep anything before the person sends or chooses something. Where the browser refuses, it lives in memory.
 * Each waiting message has a key of its own, so that two tabs never overwrite each other's.
 *
 * @module
 */

/** @typedef {import('./reducer.js').Entry} Entry */

/** @returns {string} 256 random bits, as the `hello` frame wants them */
function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

export class Memory {
  /**
   * @param {string} site
   * @param {() => Storage} storage may throw
   */
  constructor(site, storage) {
    this.prefix = `aparte:${site}:`;
    /** @type {Map<string, string>} */
    this.volatile = new Map();
    this.isLasting = true;
    try {
      this.storage = storage();
      this.storage.getItem(this.prefix);
    } catch {
      this.storage = undefined;
      this.isLasting = false; // the person is told
    }
    this.token = this.#read('token') ?? newToken();
  }

  /** @param {string} key */
  #read(key) {
    return this.storage?.getItem(this.prefix + key) ?? this.volatile.get(key) ?? null;
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  #write(key, value) {
    try {
      if (!this.storage) throw new Error('no storage');
      this.storage.setItem(this.prefix + key, value);
    } catch {
      this.isLasting = false; // blocked or full
      this.volatile.set(key, value);
    }
  }

  /** @param {string} key */
  #remove(key) {
    this.volatile.delete(key);
    this.storage?.removeItem(this.prefix + key);
  }

  /** Whether this browser has written here before. */
  get isKnown() {
    return this.#read('token') !== null;
  }

  /** @param {string} [token] a new one from the server, else the one at hand */
  keepToken(token = this.token) {
    this.token = token;
    this.#write('token', token);
  }

  /** @returns {boolean} whether another tab has stored another token, which is ours from now on */
  renewToken() {
    const stored = this.#read('token');
    if (!stored || stored === this.token) return false;
    this.token = stored;
    return true;
  }

  /** @returns {string|null} */
  get lang() {
    return this.#read('lang');
  }

  /** @param {string} lang */
  keepLang(lang) {
    this.#write('lang', lang);
  }

  /** @returns {Entry[]} what waits, oldest first */
  entries() {
    const keys = new Set(this.volatile.keys());
    for (let at = 0; this.storage && at < this.storage.length; at++) {
      const key = this.storage.key(at) ?? '';
      if (key.startsWith(this.prefix)) keys.add(key.slice(this.prefix.length));
    }
    /** @type {Entry[]} */
    const found = [];
    for (const key of keys) {
      if (!key.startsWith('out:')) continue;
      try {
        const entry = JSON.parse(this.#read(key) ?? 'null');
        if (entry?.cid && entry.text) found.push(entry);
      } catch {
        this.#remove(key); // not written by us
      }
    }
    return found.sort((a, b) => a.at - b.at);
  }

  /** @param {Entry} entry */
  keep({ cid, text, name, at, state, code, sentence }) {
    this.#write('out:' + cid, JSON.stringify({ cid, text, name, at, state, code, sentence }));
  }

  /** @param {string} cid */
  drop(cid) {
    this.#remove('out:' + cid);
  }
}
