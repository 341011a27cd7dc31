// A module that is fetched when it is needed: once, and again after a failure.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { lazily, MOST_MS } from '../../static/shared/later.js';

test('it fetches once, however often it is asked', async () => {
  const fetchIt = lazily((at) => import(at('data:text/javascript,export const it = {}')));
  const first = fetchIt();
  assert.equal(fetchIt(), first, 'on its way');
  const { it } = await first;
  assert.equal((await fetchIt()).it, it);
});

test('it tells of a failure and tries again when it is asked again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'later-'));
  try {
    const path = join(folder, 'late.mjs');
    const fetchIt = lazily((at) => import(at(pathToFileURL(path).href)));
    await assert.rejects(fetchIt(), { code: 'ERR_MODULE_NOT_FOUND' });
    writeFileSync(path, 'export const it = 7;');
    assert.equal((await fetchIt()).it, 7);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('it takes a fetch that nobody answers for a failure, and asks under another address then', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const asked = [];
    const fetchIt = lazily((at) => {
      asked.push(at('./it.js'));
      return asked.length < 2 ? new Promise(() => {}) : Promise.resolve(7);
    });
    const first = fetchIt();
    mock.timers.tick(MOST_MS - 1);
    assert.equal(fetchIt(), first, 'still on its way');
    mock.timers.tick(1);
    await assert.rejects(first, { message: 'not fetched in time' });
    assert.equal(await fetchIt(), 7);
    mock.timers.tick(MOST_MS);
    assert.equal(await fetchIt(), 7, 'what has come stays');
    assert.deepEqual(asked, ['./it.js', './it.js?2']);
  } finally {
    mock.timers.reset();
  }
});

test('what comes later than it is waited for is used, and not fetched again', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    for (const isAskedAgain of [false, true]) {
      const asked = [];
      const comes = [];
      const fetchIt = lazily((at) => {
        asked.push(at('./it.js'));
        return new Promise((give) => comes.push(give));
      });
      const first = fetchIt();
      mock.timers.tick(MOST_MS);
      await assert.rejects(first, { message: 'not fetched in time' });
      const again = isAskedAgain ? fetchIt() : undefined;
      comes[0](7); // on a line that needs longer
      await new Promise(setImmediate);
      assert.equal(await (again ?? fetchIt()), 7);
      mock.timers.tick(MOST_MS);
      assert.equal(await fetchIt(), 7);
      assert.deepEqual(asked, isAskedAgain ? ['./it.js', './it.js?2'] : ['./it.js']);
    }
  } finally {
    mock.timers.reset();
  }
});

test('a failure is told although an earlier try may still come, and that one is used then', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const comes = [];
    const fetchIt = lazily(() => new Promise((give, fail) => comes.push({ give, fail })));
    const first = fetchIt();
    mock.timers.tick(MOST_MS);
    await assert.rejects(first);
    const second = fetchIt();
    comes[1].fail(new Error('refused'));
    await assert.rejects(second, { message: 'refused' });
    comes[0].give(7);
    await new Promise(setImmediate);
    assert.equal(await fetchIt(), 7);
    assert.equal(comes.length, 2);
  } finally {
    mock.timers.reset();
  }
});
