/**
 * What stands for a WebSocket where a network lets none through: one long answer to read from, and requests to send by.
 *
 * Knows HTTP's side of docs/PROTOCOL.md, "Without WebSocket". Must not know what the frames mean, apart from `ping`.
 * Fetched by socket.js when it is needed.
 *
 * @module
 */

/** The server takes a client for gone that says nothing for 75 s. */
const PING_MS = 30_000;
/** For one request with frames. */
const POST_MS = 20_000;
const AGAIN_MS = 1_000;
/** Requests in vain, one after another, before the connection is given up. */
const TRIES = 3;
/** Characters of one request with several frames: each is at most three bytes, and 64 KiB may be sent at once. */
const MOST = 20_000;
/** Frames of one request: as many as every server takes, since none may be set to fewer in `frames_per_10s`. */
const FRAMES = 10;
const REACH_MS = 10_000;
/** How long this way is taken for each new connection before a WebSocket is tried again. */
const AROUND_MS = 300_000;
/** What a socket would have said with its close code, by HTTP status. */
const CODES = /** @type {Record<number, number>} */ ({ 401: 4401, 429: 4429, 503: 1013 });

/**
 * @param {string} url of the WebSocket
 * @returns {string} of the stream
 */
const streamUrl = (url) => url.replace(/^ws/, 'http').replace('/ws/', '/sse/');

/**
 * Turns a link to this way if its server says by an ordinary request that it takes people; or back, if this way was good for nothing either.
 *
 * @param {import('./socket.js').Link} link
 */
export async function turn(link) {
  const had = link.Around;
  link.Around = undefined;
  if (had) return;
  try {
    // Not just whether it lives: one that is about to end refuses sockets, and nothing is wrong with those.
    const address = new URL('/readyz', streamUrl(link.options.url));
    const answer = await fetch(address, { method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(REACH_MS) });
    if (!answer.ok) return;
    // A class of this turn's own, so that its end is not that of a later one.
    const mine = (link.Around = class extends Stream {});
    setTimeout(() => {
      if (link.Around === mine) link.Around = undefined;
    }, AROUND_MS);
  } catch {
    // No way at all now: that is not the WebSocket's fault.
  }
}

/** Has of a WebSocket what a Link uses. The first thing sent is the hello; nothing goes out before it. */
export class Stream {
  /** @type {(() => void)|null} */
  onopen = null;
  /** @type {((message: {data: string}) => void)|null} */
  onmessage = null;
  /** @type {((event: {code: number}) => void)|null} */
  onclose = null;
  /** As of a WebSocket: 0 connecting, 1 open, 3 closed. */
  readyState = 0;
  /** @type {string[]} */
  #queue = [];
  #token = '';
  /** The number of the first frame in the queue. */
  #first = 1;
  #hasBegun = false;
  #isSending = false;
  #spoken = Date.now();
  #end = new AbortController();

  /** @param {string} url of the WebSocket that it stands for */
  constructor(url) {
    this.url = streamUrl(url);
    queueMicrotask(() => {
      if (this.readyState) return;
      this.readyState = 1;
      this.onopen?.();
    });
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState !== 1) return;
    if (this.#hasBegun) {
      this.#queue.push(data);
      this.#speak();
    } else {
      this.#hasBegun = true;
      this.#listen(data);
    }
  }

  /** By the page: nothing is heard or told any more. */
  close() {
    this.readyState = 3;
    this.#end.abort();
  }

  /** @param {string} hello */
  async #listen(hello) {
    let code = 1006;
    try {
      const answer = await this.#post('', hello, this.#end.signal);
      if (answer.ok && answer.body) code = await this.#hear(answer.body);
      else code = CODES[answer.status] ?? code;
    } catch {
      // The network, or `close`.
    }
    this.#lose(code);
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @returns {Promise<number>} the close code
   */
  async #hear(body) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (let rest = ''; ; ) {
      const { value, done } = await reader.read();
      if (done) return 1006;
      const blocks = (rest + decoder.decode(value, { stream: true })).split(/\n\n/); // not a text: packing folds its line breaks
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const [, event, data] = /^(?:event: (\w+)\n)?data: (.*)$/.exec(block) ?? [];
        if (event === 'close') return Number(data);
        if (event === 'connection') {
          this.#token = data;
          this.#speak();
        } else if (data && !event) {
          // A fault in who hears it must end neither this stream nor be hidden by it.
          queueMicrotask(() => this.onmessage?.({ data }));
        }
      }
      // By what is heard and not by a timer: those sleep in a tab that nobody looks at.
      if (Date.now() - this.#spoken > PING_MS) this.send('{"t":"ping"}');
    }
  }

  /** The queue, request by request; each until it is answered. */
  async #speak() {
    if (this.#isSending || !this.#token) return;
    this.#isSending = true;
    for (let tries = 0; this.#queue.length && this.readyState === 1; ) {
      const batch = this.#batch();
      this.#spoken = Date.now();
      const answer = await this.#post('/frames', batch.join('\n'), AbortSignal.timeout(POST_MS), this.#first).catch(() => null);
      if (answer?.ok) {
        this.#queue.splice(0, batch.length);
        this.#first += batch.length;
        tries = 0;
      } else if (answer?.status === 429) {
        await pause();
      } else if ((!answer || answer.status >= 500) && ++tries < TRIES) {
        await pause(); // whether it arrived is not known: the same again, under the same numbers
      } else {
        this.#lose(1006);
      }
    }
    this.#isSending = false;
  }

  /** What goes into one request: at least one frame. */
  #batch() {
    let count = 1;
    for (let size = this.#queue[0].length; count < Math.min(this.#queue.length, FRAMES); count += 1) {
      size += this.#queue[count].length + 1;
      if (size > MOST) break;
    }
    return this.#queue.slice(0, count);
  }

  /**
   * @param {string} path
   * @param {string} body
   * @param {AbortSignal} signal
   * @param {number} [first]
   */
  #post(path, body, signal, first) {
    const headers = first ? { 'aparte-connection': this.#token, 'aparte-first': String(first) } : undefined;
    return fetch(this.url + path, { method: 'POST', cache: 'no-store', body, headers, signal });
  }

  /** @param {number} code */
  #lose(code) {
    if (this.readyState === 3) return;
    this.close();
    this.onclose?.({ code });
  }
}

const pause = () => new Promise((go) => setTimeout(go, AGAIN_MS));
