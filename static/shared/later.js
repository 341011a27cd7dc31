/**
 * Modules that are fetched when they are first needed, so that opening the conversation does not pay for them.
 *
 * @module
 */

/** Some networks swallow a request without a word. */
export const MOST_MS = 20_000;

/**
 * @template T
 * @param {(at: (address: string) => string) => Promise<T>} fetchIt imports a module at this address of it
 * @returns {() => Promise<T>} gives the module, fetched once; after a failure, or MOST_MS in vain, the next call tries again
 */
export function lazily(fetchIt) {
  /** @type {Promise<T>|undefined} */
  let coming;
  let tries = 0;
  return () =>
    (coming ??= /** @type {Promise<T>} */ (new Promise((give, fail) => {
      const late = setTimeout(fail, MOST_MS, new Error('not fetched in time'));
      fetchIt((address) => (tries++ ? `${address}?${tries}` : address)).then(give, fail).then(() => clearTimeout(late));
    })).catch((error) => {
      // A module that could not be fetched is remembered as broken under its address: the next call asks under another.
      coming = undefined;
      throw error;
    }));
}
