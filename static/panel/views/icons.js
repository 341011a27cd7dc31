/**
 * Signs, drawn with the pen of the text around them. They are decoration: the words are beside them.
 *
 * @module
 */
import { html } from '../../shared/preact.js';

/** Paths on a 16 × 16 field. */
const PATHS = {
  shield: 'M8 1.8 13 3.6v4c0 3.1-2 5.3-5 6.6-3-1.3-5-3.5-5-6.6v-4z',
  proven: 'M8 1.8 13 3.6v4c0 3.1-2 5.3-5 6.6-3-1.3-5-3.5-5-6.6v-4zM5.6 7.8l1.8 1.8 3.2-3.4',
  hand: 'M6 4v8M10 4v8M2 8a6 6 0 1 0 12 0A6 6 0 1 0 2 8',
  frozen: 'M8 1.5v13M2.4 4.8l11.2 6.4M2.4 11.2l11.2-6.4',
  clock: 'M2 8a6 6 0 1 0 12 0A6 6 0 1 0 2 8M8 4.6V8l2.2 1.6',
  alarm: 'M8 2 14.5 13.5h-13zM8 6.3v3.4M8 11.6v.1',
  bell: 'M3.5 11.5h9L11.4 10V7a3.4 3.4 0 0 0-6.8 0v3zM6.8 13.6h2.4',
  bellOff: 'M3.5 11.5h9L11.4 10V7a3.4 3.4 0 0 0-6.8 0v3zM6.8 13.6h2.4M2.5 2.5l11 11',
  sound: 'M2.5 6.2v3.6h2.3L8 12.6V3.4L4.8 6.2zM10.4 5.8a3.2 3.2 0 0 1 0 4.4M12.2 4a5.7 5.7 0 0 1 0 8',
  mute: 'M2.5 6.2v3.6h2.3L8 12.6V3.4L4.8 6.2zM10.5 6.2l3.4 3.6M13.9 6.2l-3.4 3.6',
  keys: 'M1.8 4.2h12.4v7.6H1.8zM4.4 6.8v.1M7 6.8v.1M9.4 6.8v.1M11.8 6.8v.1M5 9.4h6',
  leave: 'M9.5 2.5h-6v11h6M7 8h7M11.5 5.5 14 8l-2.5 2.5',
  back: 'M9.8 3.2 5 8l4.8 4.8',
  cross: 'M4 4l8 8M12 4l-8 8',
  check: 'M3 8.4l3.2 3.2L13 4.8',
  checks: 'M1.2 8.4l3.2 3.2L11 4.8M7.6 11.2l.6.6 6.8-7',
  down: 'M8 3v9.5M4 8.8l4 4 4-4',
  person: 'M8 8.2a2.9 2.9 0 1 0 0-5.8 2.9 2.9 0 0 0 0 5.8M2.6 14c.5-2.7 2.6-4 5.4-4s4.9 1.3 5.4 4',
  pass: 'M2.5 8h10M9 4.2 12.8 8 9 11.8',
  note: 'M3 2.5h10v7.2L9.4 13.5H3zM9.2 13.3V9.6H13',
  send: 'M2.2 3 14 8 2.2 13l1.7-5zM3.9 8H9',
};

/** @param {{name: keyof typeof PATHS}} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
