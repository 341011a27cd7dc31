/**
 * The few things that go by HTTP: signing in and out, and the ticket that opens the socket.
 *
 * Must not know the state or the screen. The session is an HttpOnly cookie; no secret passes through here but the
 * password, once.
 *
 * @module
 */

/** @typedef {import('./state.js').Colleague} Colleague */

/** The server's no: a stable code, its sentence, and after how many seconds to go on. */
export class Refusal extends Error {
  /**
   * @param {number} status HTTP status; 0 when the server was not reached
   * @param {{code?: string, sentence?: string, retry_after?: number}} body
   */
  constructor(status, body) {
    super(body.sentence ?? '');
    this.status = status;
    this.code = body.code ?? '';
    this.retryAfter = body.retry_after ?? 0;
  }
}

/**
 * @param {'GET'|'POST'} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>} the JSON answer, or null when there is none
 * @throws {Refusal}
 */
async function call(method, path, body) {
  /** @type {Response} */
  let answer;
  /** @type {any} */
  let data = null;
  try {
    answer = await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: method === 'POST' ? { 'Content-Type': 'application/json' } : {},
      body: method === 'POST' ? JSON.stringify(body ?? {}) : undefined,
    });
    if (answer.status !== 204) data = await answer.json();
  } catch {
    // No network, or something between us and the server answered for it.
    throw new Refusal(0, {});
  }
  if (!answer.ok) throw new Refusal(answer.status, data ?? {});
  return data;
}

/** @returns {Promise<Colleague|null>} null when nobody is signed in */
export async function whoAmI() {
  try {
    return await call('GET', '/api/me');
  } catch (error) {
    // A node that has not been upgraded yet; to be taken away with the version after 0.1.
    if (error instanceof Refusal && error.status === 401) return null;
    throw error;
  }
}

/**
 * @param {string} email
 * @param {string} password
 * @returns {Promise<Colleague>}
 */
export const signIn = (email, password) => call('POST', '/api/login', { email, password });

export const signOut = () => call('POST', '/api/logout');

/** @returns {Promise<string>} for hellos of this session, within half a minute */
export const ticket = async () => (await call('POST', '/api/ticket')).ticket;
