/**
 * What a person wrote, drawn: line breaks kept (`white-space: pre-wrap` is the style sheet's), links made safe.
 *
 * @module
 */
import { html } from './preact.js';
import { pieces } from './links.js';

/** @param {{text: string}} props */
export function Prose({ text }) {
  return html`<span class="prose" dir="auto">${pieces(text).map((piece) =>
    piece.href
      ? html`<a href=${piece.href} dir="ltr" target="_blank" rel="noopener noreferrer nofollow">${piece.text}</a>`
      : piece.text,
  )}</span>`;
}
