/**
 * Starts the conversation: reads what the page was served with, joins the parts, draws on each change.
 *
 * @module
 */
import { html, render } from '../../static/shared/preact.js';
import { palette } from '../../static/shared/colour.js';
import { fromHost } from '../messages.js';
import { lazily } from '../../static/shared/later.js';
import { Memory } from './memory.js';
import { unread } from './reducer.js';
import { Talk } from './talk.js';
import { App } from './view.js';

export * from './kit.js';

/** @typedef {'en'|'fr'} Lang */

const RETRY_MS = 3_000;
/** @type {() => Promise<typeof import('./cards.js')>} */
const fetchCards = lazily((at) => import(at('./cards.js')));
/** @type {Record<Lang, () => Promise<typeof import('./cards.en.js')>>} */
const fetchCardWords = { en: lazily((at) => import(at('./cards.en.js'))), fr: lazily((at) => import(at('./cards.fr.js'))) };

const config = JSON.parse(document.getElementById('config')?.textContent ?? '{}');
const isFrame = config.mode === 'frame';
const root = /** @type {HTMLElement} */ (document.getElementById('app'));
const memory = new Memory(config.site, () => localStorage);

let lang = /** @type {Lang} */ (memory.lang === 'en' || memory.lang === 'fr' ? memory.lang : config.lang === 'fr' ? 'fr' : 'en');
let words = await load(lang);
document.documentElement.lang = lang;
/** @type {import('./view.js').Cards|undefined} */
let cards;
let isFetching = false;
let isOpen = !isFrame;
let isAtEnd = true;
let isStarted = false;

/** @param {Lang} which */
async function load(which) {
  return (which === 'fr' ? await import('./words.fr.js') : await import('./words.en.js')).words;
}

/** The cards in our language; when they cannot be fetched, again after a while. */
async function needCards() {
  if (isFetching || cards?.lang === lang) return;
  isFetching = true;
  const [which, said] = [lang, words];
  try {
    const [parts, more] = await Promise.all([fetchCards(), fetchCardWords[which]()]);
    cards = { ...parts, lang: which, words: { ...said, ...more.words } };
  } catch {
    await new Promise((go) => setTimeout(go, RETRY_MS)); // drawing asks again, if they are still needed
  }
  isFetching = false;
  draw();
}

/** @param {import('../messages.js').FromFrame} message */
function tellHost(message) {
  if (isFrame && config.origin) parent.postMessage(message, config.origin);
}

let told = 0;
let isDue = false;
const talk = new Talk({ site: config.site, config, memory, lang, onChange: draw });

/** Many changes at once are one drawing; and never one within another. */
function draw() {
  if (!isDue) queueMicrotask(paint);
  isDue = true;
}

function paint() {
  isDue = false;
  if (talk.state.view || cards) needCards();
  const { accent } = talk.state.site;
  const { fill, ink } = palette(accent ?? '');
  document.documentElement.style.setProperty('--accent', fill);
  document.documentElement.style.setProperty('--accent-night', ink);
  const count = unread(talk.state);
  if (count !== told) tellHost({ aparte: 'unread', count: (told = count) });
  render(html`<${App} ...${{ talk, words, cards, needCards, lang, isFrame, isOpen, isLasting: memory.isLasting, phone: talk.state.site.phone ?? '', onEnd, onLang }}
    state=${talk.state} onClose=${() => tellHost({ aparte: 'close' })} />`, root);
}

/** @param {boolean} atEnd whether the newest message is in sight */
function onEnd(atEnd) {
  isAtEnd = atEnd;
  talk.look(isOpen && isAtEnd && document.visibilityState === 'visible');
}

async function onLang() {
  const next = lang === 'fr' ? 'en' : 'fr';
  words = await load(next);
  document.documentElement.lang = lang = next;
  talk.speak(lang);
  draw();
}

/** The first look opens the line; a frame that is only there for the badge opens it if it has something to hear. */
function begin() {
  if (isStarted) return;
  isStarted = true;
  talk.link.start();
}

addEventListener('message', (event) => {
  const message = isFrame ? fromHost(event, parent, config.origin) : null;
  if (!message) return;
  isOpen = message.aparte === 'open';
  if (message.aparte === 'open') {
    talk.origin = { page: message.page, title: message.title };
    begin();
  }
  draw();
  onEnd(isAtEnd);
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing && isOpen && !event.defaultPrevented && !document.querySelector('dialog[open]')) tellHost({ aparte: 'close' });
});
addEventListener('storage', (event) => talk.stored(event.key));
document.addEventListener('visibilitychange', () => onEnd(isAtEnd));

draw();
if (!isFrame || memory.isKnown) begin();
tellHost({ aparte: 'ready' });
