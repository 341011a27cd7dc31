/**
 * What a person typed or pasted, as it may be sent.
 *
 * @module
 */

// The server refuses control characters other than line breaks and tabs; slides and PDFs bring them along in a paste.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/**
 * @param {string} text
 * @returns {string} the text with each control character made a space
 */
export function sendable(text) {
  return text.replace(CONTROL, ' ');
}
