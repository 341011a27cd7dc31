// A module that is fetched when it is needed: once, and again after a failure.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { lazily } from '../../static/shared/later.js';

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
