/**
 * Where the panel begins: reads the page's settings, makes the desk, draws.
 *
 * @module
 */
import { html, render } from '../shared/preact.js';
import { Refusal } from './api.js';
import { Desk } from './desk.js';
import { read, write } from './kept.js';
import { counts } from './lists.js';
import { beep, notify, reason } from './notify.js';
import { App, choices } from './views/app.js';
import { chooseLanguage, fetchWords, loadWords } from './words.js';

/** @typedef {import('./words.js').Lang} Lang */

const LANGUAGE_KEY = 'aparte.language';

const root = /** @type {HTMLElement} */ (document.getElementById('app'));
/** @type {{version?: string}} */
const config = JSON.parse(document.getElementById('config')?.textContent || '{}');
const kept = read(LANGUAGE_KEY);
let lang = /** @type {Lang} */ (kept === 'en' || kept === 'fr' ? kept : chooseLanguage(navigator.languages));
document.documentElement.lang = lang;
let words = await loadWords(lang);
let isUnreachable = false;
let isDrawn = true;

const desk = new Desk((state, before) => {
  draw();
  tell(before, state);
  const { unread } = counts(state);
  document.title = unread > 0 && state.phase === 'signed_in' ? `(${unread}) Aparté` : 'Aparté';
});
desk.speak(lang);

/** Draws once for all that happens in one turn. */
function draw() {
  if (!isDrawn) return;
  isDrawn = false;
  queueMicrotask(() => {
    isDrawn = true;
    render(html`<${App} desk=${desk} state=${desk.state} w=${words} lang=${lang} speak=${speak} version=${config.version ?? ''}
      unreachable=${isUnreachable} again=${start} />`, root);
  });
}

/**
 * @param {import('./state.js').State} before
 * @param {import('./state.js').State} after
 */
function tell(before, after) {
  const what = reason(before, after);
  if (!what) return;
  if (choices.sound.isOn && (what === 'alarm' || !document.hasFocus() || what === 'waits')) beep(what === 'alarm');
  if (choices.notify.isOn) notify({ waits: words.visitorWaits, given: words.givenToYou, alarm: words.alarm, answer: words.newAnswer, held: words.heldSomewhere }[what]);
}

/** @param {Lang} next */
async function speak(next) {
  try {
    words = (await fetchWords[next]()).words;
  } catch {
    desk.dispatch({ t: 'error', code: 'unavailable', sentence: '' });
    return;
  }
  lang = next;
  desk.speak(next);
  document.documentElement.lang = next;
  write(LANGUAGE_KEY, next);
  draw();
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
