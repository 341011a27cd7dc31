import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from '../../widget/app/memory.js';
import { Drawer } from './scripted.mjs';

const entry = (cid, at = 1) => ({ cid, text: `text of ${cid}`, at, state: 'waiting' });
const broken = () => {
  throw new DOMException('blocked', 'SecurityError');
};

test('it makes a token of 256 bits that hello accepts, and another one each time', () => {
  const tokens = new Set(Array.from({ length: 50 }, () => new Memory('airline', () => new Drawer()).token));
  assert.equal(tokens.size, 50);
  for (const token of tokens) assert.match(token, /^[A-Za-z0-9_-]{43}$/);
});

test('it writes nothing until it is told to keep', () => {
  const drawer = new Drawer();
  const memory = new Memory('airline', () => drawer);
  assert.equal(drawer.length, 0);
  assert.ok(!memory.isKnown);
  memory.keepToken();
  assert.ok(memory.isKnown);
  assert.equal(new Memory('airline', () => drawer).token, memory.token);
});

test('it keeps two sites apart', () => {
  const drawer = new Drawer();
  const one = new Memory('one', () => drawer);
  one.keepToken();
  one.keep(entry('a'));
  const two = new Memory('two', () => drawer);
  assert.notEqual(two.token, one.token);
  assert.deepEqual(two.entries(), []);
});

test('it gives back what waits, oldest first, until it is dropped', () => {
  const drawer = new Drawer();
  const memory = new Memory('airline', () => drawer);
  memory.keep(entry('b', 2));
  memory.keep(entry('a', 1));
  assert.deepEqual(new Memory('airline', () => drawer).entries().map(({ cid }) => cid), ['a', 'b']);
  memory.drop('a');
  assert.deepEqual(memory.entries().map(({ cid }) => cid), ['b']);
});

test('it sees what another tab has dropped', () => {
  const drawer = new Drawer();
  const [one, two] = [new Memory('airline', () => drawer), new Memory('airline', () => drawer)];
  one.keep(entry('a'));
  two.drop('a');
  assert.deepEqual(one.entries(), []);
});

test('it lives in memory where storage is blocked, and says so', () => {
  const memory = new Memory('airline', broken);
  assert.ok(!memory.isLasting);
  memory.keepToken();
  memory.keep(entry('a'));
  memory.keepLang('fr');
  assert.equal(memory.entries().length, 1);
  assert.equal(memory.lang, 'fr');
  memory.drop('a');
  assert.deepEqual(memory.entries(), []);
});

test('it goes on in memory when storage is full, and says so', () => {
  const drawer = new Drawer();
  const memory = new Memory('airline', () => drawer);
  memory.keepToken();
  drawer.setItem = broken;
  memory.keep(entry('a'));
  assert.ok(!memory.isLasting);
  assert.equal(memory.entries()[0].cid, 'a');
  assert.ok(memory.isKnown);
});

test('it throws away what is not its own writing', () => {
  const drawer = new Drawer();
  drawer.setItem('aparte:airline:out:x', '{"cid":');
  drawer.setItem('aparte:airline:out:y', '{"cid":"y"}');
  assert.deepEqual(new Memory('airline', () => drawer).entries(), []);
  assert.equal(drawer.getItem('aparte:airline:out:x'), null);
});

test('it notices the token of another tab, once', () => {
  const drawer = new Drawer();
  const memory = new Memory('airline', () => drawer);
  assert.ok(!memory.renewToken());
  drawer.setItem('aparte:airline:token', 'T'.repeat(43));
  assert.ok(memory.renewToken());
  assert.ok(!memory.renewToken());
});
