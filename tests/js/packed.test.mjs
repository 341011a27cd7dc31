// What is served is what was reviewed: the packed files come from these sources, the vendored one from its package.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack, PACKS, sources, stamp } from '../../widget/pack.mjs';

const root = new URL('../../', import.meta.url);
const bytes = (path) => readFileSync(new URL(path, root));
const wire = (path) => gzipSync(bytes(path), { level: 9 }).length;

for (const [packed, entry] of Object.entries(PACKS)) {
  test(`it packed ${packed} from the sources as they are`, () => {
    assert.ok(bytes(`widget/${packed}`).toString().includes(stamp(entry)), 'stale: run node widget/pack.mjs');
  });

  test(`it packs ${packed} to the byte again`, { skip: !existsSync(new URL('node_modules/esbuild', root)) }, async () => {
    assert.equal(bytes(`widget/${packed}`).toString(), await pack(entry));
  });
}

test('it counts every module that the widget begins with', () => {
  const names = sources('app/main.js').map((path) => path.split('/').at(-1));
  for (const name of ['main.js', 'reducer.js', 'thread.js', 'kit.js', 'socket.js', 'links.js', 'preact-htm.js']) assert.ok(names.includes(name), name);
  for (const name of ['guard.js', 'cards.js', 'card.js', 'privacy.js']) assert.ok(!names.includes(name), name);
  assert.ok(sources('app/app.css').some((path) => path.endsWith('tokens.css')));
});

test('it fetches nothing twice: what comes later takes from the first script what that has', () => {
  const later = bytes('widget/app/cards.min.js').toString();
  assert.deepEqual([...later.matchAll(/from"([^"]+)"/g)].map(([, path]) => path).filter((path) => path !== './main.min.js'), []);
  const given = /export\{([^}]+)\}/.exec(bytes('widget/app/main.min.js').toString())[1].split(',').map((one) => one.split(' as ').pop());
  for (const [, names] of later.matchAll(/import\{([^}]+)\}from/g)) {
    for (const name of names.split(',')) assert.ok(given.includes(name.split(' as ')[0]), name);
  }
});

test('it asks for no other host and makes no markup out of text', () => {
  for (const name of readdirSync(new URL('widget/app/', root)).filter((file) => file.endsWith('.js') && !file.endsWith('.min.js'))) {
    const text = bytes(`widget/app/${name}`).toString();
    assert.doesNotMatch(text, /https?:\/\/[a-z]|innerHTML|outerHTML|insertAdjacentHTML|dangerously|\beval\(|new Function|document\.write/, name);
    assert.doesNotMatch(text, /\sstyle=/, name);
  }
});

test('it holds to its sizes on the wire', () => {
  const opened = (lang) => wire('widget/app/main.min.js') + wire('widget/app/app.min.css') + wire(`widget/app/words.${lang}.min.js`);
  assert.ok(wire('widget/loader.min.js') <= 2_300);
  const later = (lang) => ['cards', `cards.${lang}`, 'guard'].reduce((sum, name) => sum + wire(`widget/app/${name}.min.js`), 0);
  for (const lang of ['en', 'fr']) {
    assert.ok(opened(lang) <= 21_850, `${lang}: ${opened(lang)}`); // and 0.9 KB for the page itself
    assert.ok(later(lang) <= 9_900, `${lang}: ${later(lang)}`); // with the first words that are typed
  }
});

test('it serves the vendored module as its package has it', () => {
  const lines = bytes('static/vendor/SHA256SUMS').toString().trim().split('\n');
  assert.equal(lines.length, 1);
  for (const line of lines) {
    const [sum, name] = line.split(/\s+/);
    assert.equal(createHash('sha256').update(bytes(`static/vendor/${name}`)).digest('hex'), sum);
    const original = new URL('node_modules/htm/preact/standalone.module.js', root);
    if (existsSync(original)) assert.deepEqual(bytes(`static/vendor/${name}`), readFileSync(original));
  }
});
