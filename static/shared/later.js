/**
 * Modules that are fetched when they are first needed, so that opening the conversation does not pay for them.
 *
 * @module
 */

/**
 * @template T
 * @param {(at: (address: string) => string) => Promise<T>} fetchIt imports a module at this address of it
 * @returns {() => Promise<T>} gives the module, fetched once; after a failure the next call tries again
 */
export function lazily(fetchIt) {
  /** @type {Promise<T>|undefined} */
  let coming;
  let tries = 0;
  return () =>
    (coming ??= fetchIt((address) => (tries++ ? `${address}?${tries}` : address)).catch((error) => {
      // A module that could not be fetched is remembered as broken under its address: the next call asks under another.
      coming = undefined;
      throw error;
    }));
}
