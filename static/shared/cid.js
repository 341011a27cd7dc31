/**
 * A new client id in the order of time (RFC 9562, version 7), so that the server's index of them grows at its end.
 * @returns {string}
 */
export function newCid() {
  const at = Date.now().toString(16).padStart(12, '0');
  return `${at.slice(0, 8)}-${at.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
