/** Line drawings, 24 by 24; decoration only: what they say is said in words beside them. @module */
import { html } from '../../static/shared/preact.js';

const PATHS = {
  info: 'M12 11v5M12 8h.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0',
  close: 'M6 6l12 12M18 6L6 18',
  end: 'M14 4H6v16h8M10 12h11l-4-4',
  send: 'M5 12h13M12 5l7 7-7 7',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  shield: 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2.2 2.2L15.5 10',
  globe: 'M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0M3 12h18M12 3c3 3 3.5 6 3.5 9s-.5 6-3.5 9c-3-3-3.5-6-3.5-9S9 6 12 3',
  cloud: 'M4 4l16 16M8 7.5A5 5 0 0 1 16.5 10 4 4 0 0 1 20 16M17 18H7a4 4 0 0 1-1-7.8',
  down: 'M12 5v13M6 12l6 6 6-6',
  waiting: 'M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0M12 7v5l3 2',
  one: 'M5 12.5l4.5 4.5L19 7.5',
  two: 'M2 12.5l4.5 4.5L16 7.5M12 16l1 1 9.5-9.5',
  warn: 'M12 9v4M12 16.5h.01M12 3.5L2.5 20h19z',
  phone: 'M5 4h4l1.5 5-2 1.5a12 12 0 0 0 5 5l1.5-2 5 1.5v4a1 1 0 0 1-1 1A16 16 0 0 1 4 5a1 1 0 0 1 1-1',
  ticket: 'M3 8h18v3a1.5 1.5 0 0 0 0 3v3H3v-3a1.5 1.5 0 0 0 0-3zM14 8v9',
};

/** @param {{name: keyof typeof PATHS}} props */
export function Icon({ name }) {
  return html`<svg class="drawn" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
