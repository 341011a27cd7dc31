/**
 * Where the panel begins: reads the page's settings, makes the desk, draws.
 *
 * @module
 */
import { html, render } from '../shared/preact.js';
import { Refusal } from './api.js';
import { Desk } from './desk.js';
import { counts } from './lists.js';
import { beep, notify, reason } from './notify.js';
import { App, choices, firstLanguage } from './views/app.js';
import { WORDS } from './words.js';

const root = /** @type {HTMLElement} */ (document.getElementById('app'));
/** @type {{version?: string}} */
const config = JSON.parse(document.getElementById('config')?.textContent || '{}');
let isUnreachable = false;
let isDrawn = true;

const desk = new Desk((state, before) => {
  draw();
  tell(before, state);
  const { unread } = counts(state);
  document.title = unread > 0 && state.phase === 'signed_in' ? `(${unread}) Aparté` : 'Aparté';
});

/** Draws once for all that happens in one turn. */
function draw() {
  if (!isDrawn) return;
  isDrawn = false;
  queueMicrotask(() => {
    isDrawn = true;
    render(html`<${App} desk=${desk} state=${desk.state} version=${config.version ?? ''} unreachable=${isUnreachable} again=${start} />`, root);
  });
}

/**
 * @param {import('./state.js').State} before
 * @param {import('./state.js').State} after
 */
function tell(before, after) {
  const what = reason(before, after);
  if (!what) return;
  const words = WORDS[firstLanguage()];
  if (choices.sound.isOn && (what === 'alarm' || !document.hasFocus() || what === 'waits')) beep(what === 'alarm');
  if (choices.notify.isOn) notify(what === 'waits' ? words.visitorWaits : what === 'alarm' ? words.alarm : words.newAnswer);
}

async function start() {
  isUnreachable = false;
  draw();
  try {
    await desk.start();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    isUnreachable = true;
    draw();
  }
}

addEventListener('beforeunload', (event) => {
  if (desk.state.phase === 'signed_in' && desk.hasUnsaid()) event.preventDefault();
});

start();
