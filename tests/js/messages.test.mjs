// What crosses between the host page and the frame, and that the loader keeps to it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { fromHost, plainAddress } from '../../widget/messages.js';

const HOST = 'https://air.example';
const CHAT = 'https://chat.air.example';
const parent = {};
const from = (data, more = {}) => fromHost({ source: parent, origin: HOST, data, ...more }, parent, HOST);

test('it believes the embedding window at its validated origin only', () => {
  const open = { aparte: 'open', page: 'https://air.example/fares', title: 'Fares' };
  assert.deepEqual(from(open), open);
  assert.equal(from(open, { source: {} }), null);
  for (const origin of ['null', '', 'https://air.example.evil.example', 'http://air.example', 'https://air.example:444', 'HTTPS://AIR.EXAMPLE']) {
    assert.equal(from(open, { origin }), null, origin);
  }
  assert.equal(fromHost({ source: parent, origin: '', data: open }, parent, ''), null);
});

test('it takes nothing but open and closed, and only their fields', () => {
  for (const data of [null, 'open', 7, {}, { aparte: 'send', text: 'x' }, { aparte: 'ready' }, ['open']]) assert.equal(from(data), null);
  assert.deepEqual(from({ aparte: 'open', page: {}, title: 'x'.repeat(900), text: 'x' }), { aparte: 'open', page: '', title: 'x'.repeat(200) });
  assert.deepEqual(from({ aparte: 'closed', extra: 1 }), { aparte: 'closed' });
});

test('it keeps an address without query and fragment', () => {
  assert.equal(plainAddress('https://air.example/a?fbclid=1#b'), 'https://air.example/a');
  assert.equal(plainAddress('javascript:alert(1)'), '');
  assert.equal(plainAddress(undefined), '');
  assert.ok(plainAddress('https://air.example/' + 'x'.repeat(9_000)).length <= 2_000);
});

/** The loader in a page of our own making: just enough of a document to see what it makes, asks and says. */
function page({ lang = 'en', stored = {}, blocked = false, twice = false, contact = undefined } = {}) {
  const seen = { made: [], said: [], stored: { ...stored }, timers: [], logged: [] };
  const listeners = {};
  class Node {
    constructor(tag) {
      this.tag = tag;
      this.kids = [];
      this.contentWindow = { postMessage: (...message) => seen.said.push(message) };
      seen.made.push(this);
    }
    append(...kids) {
      this.kids.push(...kids);
    }
    prepend(...kids) {
      this.kids.unshift(...kids);
    }
    setAttribute(name, value) {
      this[name] = value;
    }
    attachShadow(options) {
      this.shadow = options;
      return new Node('#shadow');
    }
    remove() {
      this.isGone = true;
    }
    focus() {
      seen.focused = this.tag;
    }
  }
  const root = new Node('html');
  root.lang = lang;
  const document = {
    currentScript: { src: `${CHAT}/widget.js`, dataset: { site: 'airline', contact } },
    documentElement: root,
    title: 'Fares',
    createElement: (tag) => new Node(tag),
    createElementNS: (_, tag) => new Node(tag),
    querySelector: (selector) => root.kids.find((kid) => kid.tag === selector) ?? null,
  };
  const localStorage = {
    getItem: (key) => (blocked ? fail() : (seen.stored[key] ?? null)),
    setItem: (key, value) => (blocked ? fail() : (seen.stored[key] = value)),
  };
  const fail = () => {
    throw new Error('blocked');
  };
  const location = { origin: HOST, pathname: '/fares', href: `${HOST}/fares?pnr=QX7T4P#top` };
  const addEventListener = (name, listener) => (listeners[name] = listener);
  const CSSStyleSheet = class {
    replaceSync() {}
  };
  const setTimeout = (run, ms) => seen.timers.push({ run, ms });
  const console = { error: (text) => seen.logged.push(text) };
  const context = vm.createContext({ document, setTimeout, console, localStorage, location, addEventListener, CSSStyleSheet, URL, encodeURIComponent });
  const run = () => vm.runInContext(readFileSync(new URL('../../widget/loader.js', import.meta.url), 'utf8'), context);
  run();
  if (twice) run();
  const one = (tag) => seen.made.find((node) => node.tag === tag);
  const hear = (data, more = {}) => listeners.message({ source: one('iframe')?.contentWindow, origin: CHAT, data, ...more });
  const click = (target, more = {}) => {
    let isOurs = false;
    listeners.click({ target, preventDefault: () => (isOurs = true), ...more });
    return isOurs;
  };
  return { seen, one, hear, click, press: () => one('button').onclick(), said: () => JSON.parse(JSON.stringify(seen.said)) };
}

test('it makes, stores and asks nothing before the first press', () => {
  const { seen, one } = page();
  assert.equal(one('iframe'), undefined);
  assert.deepEqual(seen.stored, {});
  assert.deepEqual(seen.said, []);
  assert.equal(one('aparte-chat').shadow.mode, 'open');
});

test('it names the button in the language of the page', () => {
  assert.equal(page().one('button').ariaLabel, 'Open the conversation');
  assert.equal(page({ lang: 'fr-CA' }).one('button').ariaLabel, 'Ouvrir la conversation');
});

test('it makes the frame at a press, and stores one boolean', () => {
  const { seen, one, press } = page({ lang: 'fr' });
  press();
  const frame = one('iframe');
  assert.equal(frame.src, `${CHAT}/frame/airline?lang=fr&origin=https%3A%2F%2Fair.example`);
  assert.deepEqual([frame.allow, frame.referrerPolicy, frame.hidden], ['', 'no-referrer', false]);
  assert.deepEqual(seen.stored, { aparte: '1' });
});

test('it says only where the person is, to the chat origin only, once the frame listens', () => {
  const { press, hear, said } = page();
  press();
  assert.deepEqual(said(), []);
  hear({ aparte: 'ready' });
  assert.deepEqual(said(), [[{ aparte: 'open', page: 'https://air.example/fares', title: 'Fares' }, CHAT]]);
  press();
  assert.deepEqual(said().at(-1), [{ aparte: 'closed' }, CHAT]);
});

test('it is opened by what the page marks for it, and by nothing else of the page', () => {
  const { seen, one, press, hear, click } = page();
  assert.equal(click({ closest: () => null }), false);
  assert.equal(click({}), false); // the document itself
  const asked = [];
  const link = { closest: (selector) => (asked.push(selector), link), focus: () => (seen.focused = 'link') };
  for (const more of [{ altKey: true }, { ctrlKey: true }, { metaKey: true }, { shiftKey: true }, { defaultPrevented: true }]) assert.equal(click(link, more), false);
  assert.equal(one('iframe'), undefined);
  assert.equal(click(link), true); // it leads nowhere else
  assert.deepEqual(new Set(asked), new Set(['a[data-aparte]:not([download],[target]),button[data-aparte]'])); // not a whole section that has the attribute
  assert.deepEqual([one('iframe').hidden, seen.focused, seen.stored], [false, 'iframe', { aparte: '1' }]);
  click(link);
  assert.equal(one('iframe').hidden, false); // it opens, and does not close
  hear({ aparte: 'close' });
  assert.deepEqual([one('iframe').hidden, seen.focused], [true, 'link']);
  press();
  assert.equal(one('iframe').hidden, false);
  press();
  assert.equal(seen.focused, 'button');
});

test('where the conversation does not come up, the page’s own link leads where it leads', () => {
  const it = page();
  const link = { closest: () => link, focus() {} };
  assert.equal(it.click(link), true);
  falls(it);
  assert.equal(it.click(link), false);
  it.press();
  assert.equal(it.click(link), true); // closed meanwhile: it is tried once more
});

test('it hears only its own frame at the chat origin', () => {
  const { seen, press, hear, one } = page();
  press();
  for (const more of [{ source: {} }, { origin: HOST }, { origin: 'null' }]) hear({ aparte: 'close' }, more);
  hear(null);
  hear({ aparte: 'eval', code: '1' });
  assert.ok(!one('iframe').hidden);
  hear({ aparte: 'close' });
  assert.ok(one('iframe').hidden);
  assert.equal(seen.focused, 'button');
});

test('it shows how many are unread while closed, whatever number it is told', () => {
  const { press, hear, one } = page();
  press();
  press();
  const badge = one('span');
  hear({ aparte: 'unread', count: 3 });
  assert.deepEqual([badge.textContent, badge.hidden], ['3', false]);
  assert.match(one('button').ariaLabel, /3 unread/);
  hear({ aparte: 'unread', count: 40 });
  assert.equal(badge.textContent, '9+');
  hear({ aparte: 'unread', count: '<b>' });
  assert.ok(badge.hidden);
});

test('it loads the closed frame on later pages, for the badge', () => {
  const { one } = page({ stored: { aparte: '1' } });
  assert.ok(one('iframe').hidden);
});

test('it works where storage is blocked', () => {
  const { press, one } = page({ blocked: true });
  press();
  assert.ok(one('iframe'));
});

/** Seconds go by, and the frame says nothing. */
const falls = ({ seen }) => seen.timers.splice(0).forEach(({ run, ms }) => (assert.ok(ms >= 5_000 && ms <= 8_000), run()));

test('it says so when the conversation does not come up, and shows the other way that the page gave', () => {
  for (const [contact, shown] of [['tel:+31205550199', '+31205550199'], ['mailto:help@air.example?subject=x', 'help@air.example'], ['https://air.example/contact#form', 'air.example/contact']]) {
    const it = page({ contact });
    it.press();
    const note = it.one('p');
    assert.ok(note.hidden);
    falls(it);
    assert.match(note.textContent, /cannot be opened just now/);
    assert.deepEqual([note.hidden, it.one('iframe').hidden], [false, true]);
    const [way] = note.kids;
    assert.deepEqual([way.href, way.textContent], [contact, shown]);
    assert.match(it.seen.logged[0], /Is https:\/\/air\.example an origin/);
    it.hear({ aparte: 'ready' }); // it was only slow
    assert.deepEqual([note.hidden, it.one('iframe').hidden], [true, false]);
  }
});

test('it makes no link of what is not another way', () => {
  for (const contact of [undefined, '', 'javascript:alert(1)', ' javascript:alert(1)', 'http://air.example', 'data:text/html,x', '//air.example', 'mailto:', 'x mailto:a@b.example']) {
    const it = page({ contact });
    it.press();
    falls(it);
    assert.deepEqual([it.one('a').href, it.one('a').textContent], [undefined, ''], contact);
  }
});

test('it tries again when it is opened again', () => {
  const it = page();
  it.press();
  falls(it);
  it.press();
  assert.ok(it.one('p').hidden);
  it.press();
  const frames = it.seen.made.filter(({ tag }) => tag === 'iframe');
  assert.deepEqual(frames.map(({ isGone, hidden }) => [Boolean(isGone), hidden]), [[true, true], [false, false]]);
  assert.equal(it.seen.timers.length, 1);
});

test('it does nothing the second time', () => {
  assert.equal(page({ twice: true }).seen.made.filter(({ tag }) => tag === 'aparte-chat').length, 1);
});
