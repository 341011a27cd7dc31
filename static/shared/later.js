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
 * @returns {() => Promise<T>} gives the module, fetched once; after a failure, or MOST_MS in vain, the next call tries
 *   again, and has whichever of all its tries comes first: a slow network succeeds, too
 */
export function lazily(fetchIt) {
  /** @type {Promise<T>|undefined} */
  let coming;
  /** The first that comes; what failed is passed over. @type {Promise<T>} */
  let come = new Promise(() => {});
  let tries = 0;
  return () =>
    (coming ??= /** @type {Promise<T>} */ (new Promise((give, fail) => {
      const late = setTimeout(fail, MOST_MS, new Error('not fetched in time'));
      // A module that could not be fetched is remembered as broken under its address, and one on its way is not asked for
      // anew: each try asks under another.
      const begun = fetchIt((address) => (tries++ ? `${address}?${tries}` : address));
      const first = (come = Promise.any([come, begun]));
      first.then(() => (coming = first));
      first.then(give);
      begun.catch(fail).then(() => clearTimeout(late));
    })).catch((error) => {
      coming = undefined;
      throw error;
    }));
}
