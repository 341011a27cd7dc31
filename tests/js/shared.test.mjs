import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newCid } from '../../static/shared/cid.js';
import { contrast, FALLBACK, palette, parse } from '../../static/shared/colour.js';
import { pieces, withoutDirections } from '../../static/shared/links.js';
import { clock, countdown, dayName, dayOf, price } from '../../static/shared/time.js';

const hrefs = (text) => pieces(text).flatMap(({ href }) => href ?? []);

test('it links an explicit address and shows where it leads', () => {
  assert.deepEqual(pieces('See https://air.example/fares?a=1 now'), [
    { text: 'See ' },
    { text: 'https://air.example/fares?a=1', href: 'https://air.example/fares?a=1' },
    { text: ' now' },
  ]);
  assert.deepEqual(hrefs('http://127.0.0.1:8080/x and HTTPS://AIR.EXAMPLE'), ['http://127.0.0.1:8080/x', 'HTTPS://AIR.EXAMPLE']);
});

test('it leaves the end of the sentence out of the link', () => {
  assert.deepEqual(hrefs('(https://air.example/a), https://air.example/b_(c)! https://air.example/d.'), [
    'https://air.example/a',
    'https://air.example/b_(c)',
    'https://air.example/d',
  ]);
  assert.deepEqual(hrefs('« https://air.example/é »'), ['https://air.example/é']);
});

for (const text of [
  'air.example',
  'javascript:alert(1)',
  'data:text/html,x',
  'ftp://air.example',
  'https://аir.example', // a Cyrillic letter
  'https://air.example@evil.example',
  'https://user:pass@evil.example/',
  'https://air%2Eexample/',
  'https://-air.example',
  'https://air..example',
  'https:///x',
]) {
  test(`it does not link ${text}`, () => assert.deepEqual(hrefs(text), []));
}

test('it takes out what turns the direction of writing', () => {
  const text = 'https://air.example/\u202Egpj.exe \u2066x\u2069';
  assert.equal(withoutDirections(text), 'https://air.example/gpj.exe x');
  assert.equal(pieces(text).map((piece) => piece.text).join(''), 'https://air.example/gpj.exe x');
});

test('it loses no character of an ordinary text', () => {
  const text = 'a\n b <b>&amp;</b> "https://x.example" https:// é😀';
  assert.equal(pieces(text).map((piece) => piece.text).join(''), text);
});

test('it keeps an accent that carries white text and replaces one that does not', () => {
  assert.equal(palette('#1d4f91').fill, '#1d4f91');
  for (const weak of ['#ffcc00', '#8888ff', 'red', '', '#12345', 'url(x)']) assert.equal(palette(weak).fill, FALLBACK, weak);
});

test('it makes every accent readable by night', () => {
  for (const accent of ['#000000', '#1d4f91', '#8b0000', '#004d00', '#4b0082']) {
    assert.ok(contrast(parse(palette(accent).ink), parse('#1d2126')) >= 4.5, accent);
  }
});

test('it measures contrast as WCAG does', () => {
  assert.equal(contrast([0, 0, 0], [255, 255, 255]), 21);
  assert.ok(Math.abs(contrast(parse('#767676'), [255, 255, 255]) - 4.54) < 0.01);
});

test('it names today and yesterday, and other days in full', () => {
  const noon = new Date(2026, 2, 10, 12).getTime() / 1000;
  assert.equal(dayName(noon, 'en', noon), 'Today');
  assert.equal(dayName(noon - 86_400, 'fr', noon), 'Hier');
  assert.match(dayName(noon - 7 * 86_400, 'en', noon), /^Tuesday,? 3 March$/);
  assert.match(dayName(noon - 400 * 86_400, 'fr', noon), /2025$/);
  assert.notEqual(dayOf(noon), dayOf(noon + 86_400));
});

test('it tells the time, the time left and the price', () => {
  assert.equal(clock(new Date(2026, 0, 1, 9, 5).getTime() / 1000, 'fr'), '09:05');
  assert.equal(clock(new Date(2026, 0, 1, 0, 5).getTime() / 1000, 'en'), '00:05');
  assert.deepEqual([countdown(581), countdown(60), countdown(-3)], ['9:41', '1:00', '0:00']);
  assert.equal(price({ amount: 5800, currency: 'EUR' }, 'fr').replace(/\s/g, ' '), '58,00 €');
  assert.equal(price({ amount: 5800, currency: 'EUR' }, 'en'), '€58.00');
  assert.equal(price({ amount: 5800, currency: 'JPY' }, 'en'), 'JP¥5,800');
});

test('it makes client ids in the order of time, each its own', async () => {
  const first = newCid();
  await new Promise((done) => setTimeout(done, 3));
  const later = Array.from({ length: 100 }, newCid);
  assert.equal(new Set(later).size, 100);
  for (const cid of [first, ...later]) assert.match(cid, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(later.every((cid) => cid > first));
});
