/**
 * Modules that are fetched when they are first needed, so that opening the conversation does not pay for them.
 *
 * @module
 */

/**
 * @template T
 * @param {string} address of a module beside this one
 * @returns {() => Promise<T>} gives the module, fetched once; after a failure the next call tries again
 */
export function lazily(address) {
  /** @type {Promise<T>|undefined} */
  let coming;
  let tries = 0;
  return () =>
    (coming ??= import(tries++ ? `${address}?${tries}` : address).catch((error) => {
      // A module that could not be fetched is remembered as broken under its address: the next call asks under another.
      coming = undefined;
      throw error;
    }));
}
