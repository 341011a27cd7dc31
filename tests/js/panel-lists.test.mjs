/** What the panel's views read out of the state, the keys, the words and what a notification may say. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { meant } from '../../static/panel/keys.js';
import { canCheck, counts, lines, mayOverride, mayWrite, receivers, urgency, waited } from '../../static/panel/lists.js';
import { reason } from '../../static/panel/notify.js';
import { hasShape, shapeOf } from '../../static/panel/references.js';
import { INITIAL } from '../../static/panel/reducer.js';
import { fates, hasOlder, runningCheck, standingNow, steps, topVisible } from '../../static/panel/thread.js';
import { sureness } from '../../static/panel/views/bits.js';
import { sentenceOf } from '../../static/panel/views/items.js';
import { browserOf } from '../../static/panel/views/person.js';
import { chooseLanguage, explain, loadWords } from '../../static/panel/words.js';
import { chosen, departure, when } from '../../static/shared/departure.js';

const NOW = 1_000_000;
const WORDS = { en: await loadWords('en'), fr: await loadWords('fr') };
const entry = (id, more = {}) => ({ id, site: 's', number: 1, state: 'waiting', top: 1, since: NOW, updated: NOW, ...more });
const stateOf = (entries, role = 'agent') => ({
  ...INITIAL, phase: 'signed_in', isInboxKnown: true, me: { id: 'me', name: 'Me', role },
  inbox: Object.fromEntries(entries.map((one) => [one.id, one])),
});
const mine = (id, more = {}) => entry(id, { state: 'assigned', agent: 'me', ...more });

test('it asks for a check only where one can succeed', () => {
  const sites = [{ id: 's', name: 'S', checks: true }, { id: 'bare', name: 'Bare' }];
  const state = { ...stateOf([]), sites };
  assert.deepEqual([entry('a'), entry('b', { site: 'bare' }), undefined].map((one) => canCheck(state, one)), [true, false, false]);
});

test('it puts who waits longest first and the answered after', () => {
  const state = stateOf([
    mine('answered', { snippet_from: 'agent', updated: NOW + 9, since: NOW - 900 }),
    mine('late', { snippet_from: 'visitor', since: NOW - 5 }),
    mine('longest', { snippet_from: 'visitor', since: NOW - 50 }),
    entry('queued', { since: NOW - 500 }),
    mine('theirs', { agent: 'you' }),
  ]);
  assert.deepEqual(lines(state, 'mine').map((line) => line.id), ['longest', 'late', 'answered']);
  assert.deepEqual(lines(state, 'queue').map((line) => line.id), ['queued']);
  assert.deepEqual(lines(state, 'all').map((line) => line.id), ['queued', 'longest', 'late', 'answered', 'theirs']);
});

test('it counts people, not messages', () => {
  const state = stateOf([entry('a'), entry('b'), mine('c', { unread: 7 }), mine('d')]);
  assert.deepEqual(counts(state), { queue: 2, mine: 2, all: 4, held: 0, unread: 3 });
});

test('it counts for a supervisor the colleagues’ conversations with held texts, and tells of a new one', () => {
  const some = [entry('a'), mine('b', { held: 1 }), mine('c', { agent: 'you', held: 2 }), mine('d', { agent: 'you' })];
  const [agent, lead] = [stateOf(some), stateOf(some, 'supervisor')];
  assert.deepEqual([counts(agent).held, counts(lead).held], [0, 1]);
  const more = (role) => stateOf([...some.slice(0, 3), mine('d', { agent: 'you', held: 1 })], role);
  assert.equal(reason(lead, more('supervisor')), 'held');
  assert.equal(reason(agent, more('agent')), null);
  assert.equal(reason(more('supervisor'), lead), null); // sent or taken back
});

test('it turns amber and red at the targets', () => {
  assert.deepEqual([119, 120, 299, 300].map(urgency), ['', 'amber', 'amber', 'red']);
  assert.equal(waited(entry('a', { since: NOW - 42 }), NOW), 42);
  assert.equal(waited(mine('a', { snippet_from: 'visitor', since: NOW - 42, updated: NOW }), NOW), 42); // whatever was held meanwhile
  assert.equal(waited(mine('a', { snippet_from: 'agent' }), NOW), null);
});

test('it says where an agent may write', () => {
  const state = stateOf([]);
  assert.equal(mayWrite(state, mine('a')), 'reply');
  assert.equal(mayWrite(state, mine('a', { agent: 'you' })), 'note');
  assert.equal(mayWrite(state, entry('a')), 'claim');
  assert.equal(mayWrite(state, mine('a', { frozen: true })), 'frozen');
  assert.equal(mayWrite(state, mine('a', { state: 'closed' })), 'closed');
});

test('it lets a supervisor write in a colleague’s place and let go what is about money', () => {
  const [agent, lead] = [stateOf([]), stateOf([], 'supervisor')];
  assert.equal(mayWrite(lead, mine('a', { agent: 'you' })), 'lead');
  const held = (code, topic) => [mayOverride(agent, { code, topic }), mayOverride(lead, { code, topic })];
  assert.deepEqual(held('needs_check', 'booking'), [true, true]);
  assert.deepEqual(held('needs_check', 'payment'), [false, true]);
  assert.deepEqual(held('other_record', 'booking'), [false, true]);
  assert.deepEqual(held('foreign_link', 'general'), [false, true]);
});

test('it offers colleagues at the desk first and never the holder', () => {
  const agents = [
    { id: 'z', name: 'Zoe', role: 'agent', online: true }, { id: 'a', name: 'Ann', role: 'agent' },
    { id: 'b', name: 'Bob', role: 'agent', online: true }, { id: 'me', name: 'Me', role: 'agent', online: true },
  ];
  assert.deepEqual(receivers({ ...stateOf([]), agents }, 'me').map((agent) => agent.id), ['b', 'z', 'a']);
});

test('it believes a proof not a second longer than it counts', () => {
  const view = { entry: entry('a'), standing: { level: 2, until: NOW } };
  assert.equal(standingNow(view, NOW - 1)?.level, 2);
  assert.equal(standingNow(view, NOW), null);
  assert.equal(standingNow({ entry: entry('a'), standing: { level: 0, until: NOW + 9 } }, NOW), null);
});

test('it knows what became of held messages and what lies above', () => {
  const events = [
    { seq: 4, kind: 'held', body: { held: 'h1' } }, { seq: 5, kind: 'held', body: { held: 'h2' } },
    { seq: 6, vseq: 2, kind: 'message', body: { text: '', held: 'h1' } }, { seq: 7, kind: 'dropped', body: { held: 'h2' } },
  ];
  assert.deepEqual([...fates(events)], [['h1', 'sent'], ['h2', 'dropped']]);
  assert.equal(topVisible({ events }), 2);
  assert.equal(hasOlder({ events }), true);
  assert.equal(hasOlder({ events: [{ seq: 1 }] }), false);
});

test('it tells of a new visitor, an answer and an alarm, and of nothing at the first snapshot', () => {
  const before = stateOf([mine('a')]);
  assert.equal(reason(before, stateOf([mine('a'), entry('b')])), 'waits');
  assert.equal(reason(before, stateOf([mine('a', { unread: 1 })])), 'answer');
  assert.equal(reason(before, stateOf([mine('a', { agent: 'you', unread: 1 })])), null);
  assert.equal(reason({ ...before, isInboxKnown: false }, stateOf([entry('b')])), null);
  assert.equal(reason(stateOf([mine('a', { agent: 'you' })]), stateOf([mine('a')])), 'given');
  assert.equal(reason(stateOf([]), stateOf([mine('a')])), 'given');
  assert.equal(reason(stateOf([entry('a')]), stateOf([mine('a')])), null, 'what one takes oneself is no news');
  const alarmed = { ...before, lastNotice: 1, notices: [{ id: 1, kind: 'alarm', code: 'not_me', sentence: '', conversation: 'a' }] };
  assert.equal(reason(before, alarmed), 'alarm');
});

test('it takes single letters only outside of fields and without modifiers', () => {
  assert.equal(meant({ key: 'j' }, false), 'next');
  assert.equal(meant({ key: '?' }, false), 'help');
  assert.equal(meant({ key: 'j' }, true), null);
  assert.equal(meant({ key: 'Escape' }, true), 'leave');
  assert.equal(meant({ key: 'c', ctrlKey: true }, false), null);
  assert.equal(meant({ key: 'e', isComposing: true }, false), null);
});

/** Every path to a text in an object of words. */
const paths = (value, at = '') =>
  value !== null && typeof value === 'object' ? Object.keys(value).flatMap((key) => paths(value[key], `${at}.${key}`)) : [`${at}:${typeof value}`];

test('it says everything in both languages, and nothing empty', () => {
  assert.deepEqual(paths(WORDS.fr).sort(), paths(WORDS.en).sort());
  const empty = (value) => (typeof value === 'string' ? value.trim() === '' : typeof value === 'object' && Object.values(value).some(empty));
  assert.equal(empty(WORDS.fr) || empty(WORDS.en), false);
});

test('it uses every word that it has, and has every word that it uses', () => {
  const folder = new URL('../../static/panel/', import.meta.url);
  const names = ['main.js', ...['app', 'bits', 'composer', 'dialogs', 'inbox', 'items', 'login', 'person', 'thread'].map((name) => `views/${name}.js`), 'references.js'];
  const code = names.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
  const used = new Set([...code.matchAll(/(?<!\/)\b(?:w|words)\.([a-zA-Z]+)/g)].map((match) => match[1]));
  for (const dynamic of ['queue', 'mine', 'all', 'help', 'delivered', 'read', 'errors']) used.add(dynamic); // read by a name, taken apart, or by words.js
  assert.deepEqual(Object.keys(WORDS.en).filter((key) => !used.has(key)), []);
  assert.deepEqual([...used].filter((key) => !(key in WORDS.en)), []);
});

test('it chooses the first language that it speaks', () => {
  assert.equal(chooseLanguage(['de-DE', 'fr-CA', 'en']), 'fr');
  assert.equal(chooseLanguage(['nl']), 'en');
});

test('it explains a known error in its words and an unknown one in the words of the server', () => {
  assert.equal(explain(WORDS.fr, 'frozen', 'x'), WORDS.fr.errors.frozen);
  assert.equal(explain(WORDS.fr, 'new_code', 'The sentence.'), 'The sentence.');
});

test('it reads a departure as it is written, wherever the agent sits', () => {
  assert.equal(when('2026-03-17T14:05+01:00', 'en'), 'Tue 17 Mar, 14:05');
  assert.match(when('2026-03-17T14:05', 'fr'), /17 mars.*14:05/);
  assert.equal(when('soon', 'en'), 'soon');
  const option = (label, departs) => ({ id: 'o', label, departs, supplement: { amount: 0, currency: 'EUR' } });
  assert.equal(departure(option('Tuesday 17 March, 14:05', '2026-03-17T14:05'), 'en'), '');
  assert.equal(departure(option('mardi 17 mars, 14\u00a0h\u00a005', '2026-03-17T14:05'), 'fr'), '');
  assert.equal(departure(option('mardi 17 mars, 4 h 05', '2026-03-17T14:05'), 'fr'), 'mar. 17 mars, 14:05');
  assert.equal(departure(option('Flexible', '2026-03-17T14:05'), 'en'), 'Tue 17 Mar, 14:05');
});

test('it says in the reader’s language what a booking was changed to, and keeps the company’s words where they are in it', () => {
  const departs = '2026-12-08T14:05';
  const french = { label: 'mardi 8 décembre, 14 h 05', departs, lang: 'fr' };
  assert.equal(chosen(french, 'fr'), french.label);
  assert.match(chosen(french, 'en'), /^Tuesday 8 December.* 14:05$/);
  assert.match(chosen({ departs, lang: 'fr' }, 'fr'), /^mardi 8 décembre.* 14:05$/);
  assert.equal(chosen({ label: 'Tuesday' }, 'fr'), 'Tuesday'); // stored before there was more
  const line = sentenceOf({ w: WORDS.en, lang: 'en', state: INITIAL }, { kind: 'act', body: { act: 'change', state: 'asked', ...french } });
  assert.match(line, /^Change asked of the booking system · Tuesday 8 December/);
});

test('it knows a booking number’s form as the server does, and says it in words', () => {
  const cases = JSON.parse(readFileSync(new URL('../data/references.json', import.meta.url), 'utf8'));
  for (const [reference, formats, fits] of cases) assert.equal(hasShape(reference, formats), fits, `${reference} ${formats}`);
  assert.equal(shapeOf(['XXXXXX'], WORDS.en), '6 letters or digits');
  assert.equal(shapeOf(['AA-9999', '999999A'], WORDS.fr), '2 lettres – 4 chiffres, ou 6 chiffres, 1 lettre');
  assert.equal(shapeOf([], WORDS.en), '3 to 40 letters or digits');
});

test('it names a browser in two words', () => {
  assert.equal(browserOf('Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'), 'Firefox 128, Linux');
  assert.equal(browserOf('Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0'), 'Edge 126, Windows');
  assert.equal(browserOf('Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile/15E148 Safari/604.1'), 'Safari 17, iPhone');
  assert.equal(browserOf('curl'), 'curl');
});

test('it tells a wrong code and a second letter from the start of a check', () => {
  const check = (id, more) => ({ id, kind: 'check', body: { check: { id: 'c', state: 'started', tries_left: 5, sends_left: 2, ...more } } });
  const told = steps([
    check('1', { state: 'offered', tries_left: 0, sends_left: 0 }), check('2', {}), check('3', { tries_left: 4 }),
    check('4', { tries_left: 4, sends_left: 1 }), check('5', { id: 'd' }), check('6', { id: 'd', state: 'failed', tries_left: 0 }),
  ]);
  assert.deepEqual([...told], [['3', 'wrong'], ['4', 'resent']]);
});

test('it does not say that a booking was left as it is when nobody knows', () => {
  for (const [lang, w] of Object.entries(WORDS)) {
    const line = (code) => sentenceOf({ w, lang, state: INITIAL }, { kind: 'act', body: { act: 'change', state: 'failed', code } });
    assert.equal(line('not_known'), w.errors.not_known);
    assert.ok(line('needs_check').startsWith(w.lineAct.failed));
  }
});

test('it names the check whose code is still waited for', () => {
  const of = (check) => runningCheck({ check }, NOW);
  const started = { id: 'k', state: 'started', until: NOW + 1 };
  assert.equal(of(started), started);
  assert.deepEqual([{ ...started, until: NOW }, { ...started, state: 'offered' }, { ...started, state: 'failed' }, undefined].map(of), [null, null, null, null]);
  assert.equal(runningCheck(null, NOW), null);
});

/** Every sentence, functions called with plain values. */
function sentences(words) {
  return Object.values(words).flatMap((value) => {
    if (typeof value === 'object') return sentences(value);
    return typeof value === 'function' ? [value(1, 'x'), value(2, '')] : [value];
  });
}

test('it tells in words how sure we are, and never by the code of a level', () => {
  assert.deepEqual([0, 1, 2, 3].map((level) => sureness(WORDS.en, level)), ['Not verified', 'Address verified', 'Verified by code', 'Verified by code']);
  for (const words of Object.values(WORDS)) {
    for (const sentence of sentences(words)) assert.doesNotMatch(sentence, /\bV[0-3]\b/, sentence);
  }
});

test('it has one word for one thing', () => {
  for (const sentence of sentences(WORDS.en)) assert.doesNotMatch(sentence, /\bproven\b/i, sentence); // a person is verified
  const { form, ...others } = WORDS.fr; // has letters of the alphabet
  assert.ok(form);
  for (const sentence of sentences(others)) assert.doesNotMatch(sentence, /\b(changer|changée?s?|changement|bureau|guichet|lettre|à payer)\b/i, sentence);
});
