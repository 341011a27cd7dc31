// The browser's guard is held to the same cases as the server's.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { findProofs, findSecrets } from '../../widget/app/guard.js';

const cases = JSON.parse(readFileSync(new URL('../data/disguises.json', import.meta.url), 'utf8'));
const MARK = /\[(?:card ending [0-9]{4}|security code removed|IBAN [A-Z]{2} ending [A-Z0-9]{4})\]/;

/** What is left of a text around its secrets. */
function around(text, secrets) {
  let at = 0;
  const parts = [];
  for (const { start, end } of secrets) {
    parts.push(text.slice(at, start));
    at = end;
  }
  return [...parts, text.slice(at)];
}

for (const { name, text, previous, clean, found } of cases) {
  test(`it agrees with the server: ${name}`, () => {
    const secrets = findSecrets(text, previous);
    assert.deepEqual(secrets.map(({ kind }) => kind), found);
    if (found.length) assert.deepEqual(around(text, secrets), clean.split(MARK));
  });
}

test('it finds nothing in an empty text', () => assert.deepEqual(findSecrets('', ''), []));

test('it needs the message before to see the second half', () => {
  assert.deepEqual(findSecrets('4242 4242'), []);
  assert.deepEqual(findSecrets('4242 4242', '4242 4242'), [{ start: 0, end: 9, kind: 'card' }]);
});

test('it reads every decimal digit of Unicode', () => {
  for (let code = 0x80; code < 0x20000; code += 1) {
    const digit = String.fromCodePoint(code);
    if (/\p{Nd}/u.test(digit)) {
      // In front of these fifteen digits only a four makes a valid card.
      assert.equal(findSecrets(digit + '242424242424242').length, decimal(code) === 4 ? 1 : 0, `U+${code.toString(16)}`);
    }
  }
});

test('it survives odd texts', () => {
  for (const text of ['\ud800', '\u0000', '4\ud8002', '½'.repeat(40), '\ue000', '4'.repeat(4000), '4 '.repeat(2000)]) {
    assert.ok(Array.isArray(findSecrets(text, text)));
  }
});

/** The value of a decimal digit, found the slow way: digits stand in tens, and NFKC brings styled ones home. */
function decimal(code) {
  const plain = String.fromCodePoint(code).normalize('NFKC');
  if (/^[0-9]$/.test(plain)) return Number(plain);
  let first = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first -= 1;
  return (code - first) % 10;
}

test('it finds the code of a check, and no date nor telephone number, as the server does', () => {
  const { taken, left } = JSON.parse(readFileSync(new URL('../data/proofs.json', import.meta.url), 'utf8'));
  for (const text of taken) {
    const [{ start, end, kind }, ...more] = findProofs(text);
    assert.equal(kind, 'check_code');
    assert.match(text.slice(start, end).normalize('NFKC').replace(/\D/g, ''), /^\d{8}$/, text);
    assert.deepEqual(more, []);
  }
  for (const text of left) assert.deepEqual(findProofs(text), [], text);
});
