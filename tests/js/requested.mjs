// What the server of a test is asked by `fetch`, and its answers. Whatever imports this has its own clock, too.
import { afterEach, beforeEach, mock } from 'node:test';
import { install } from './scripted.mjs';

const real = globalThis.fetch;
/**
 * What was asked by `fetch`, to be answered by the test.
 *
 * @type {{url: string, body?: string, headers: Record<string, string>, answer: (status: number, body?: unknown) => void, fail: () => void, signal?: AbortSignal}[]}
 */
export const requests = [];

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  install();
  requests.length = 0;
  globalThis.fetch = (url, options = {}) =>
    new Promise((resolve, reject) => {
      const answer = (status, body = null) => resolve(new Response(body, { status }));
      options.signal?.addEventListener('abort', () => reject(options.signal.reason));
      requests.push({ url: String(url), ...options, answer, fail: () => reject(new TypeError('Failed to fetch')) });
    });
});
afterEach(() => {
  mock.timers.reset();
  globalThis.fetch = real;
});

/** Lets everything run that waits for nothing outside. */
export async function turn() {
  for (let times = 0; times < 5; times += 1) await new Promise(setImmediate);
}

/** A stream whose other end is the test. */
export function body() {
  /** @type {ReadableStreamDefaultController} */
  let pipe;
  const stream = new ReadableStream({ start: (controller) => void (pipe = controller) });
  const encoder = new TextEncoder();
  return { stream, say: (text) => pipe.enqueue(encoder.encode(text)), bytes: (some) => pipe.enqueue(some), end: () => pipe.close(), cut: () => pipe.error(new TypeError('network')) };
}
