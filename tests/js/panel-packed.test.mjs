/** What is served of the panel is what was reviewed, stays small, and makes no markup out of text. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PACKS } from '../../static/panel/pack.mjs';
import { pack, sources, stamp } from '../../widget/pack.mjs';

const root = new URL('../../', import.meta.url);
const panel = new URL('static/panel/', root);
const text = (path) => readFileSync(new URL(path, panel), 'utf8');
const own = readdirSync(panel, { recursive: true }).filter((name) => name.endsWith('.js') && !name.endsWith('.min.js'));

for (const [packed, entry] of Object.entries(PACKS)) {
  test(`it packed the panel's ${packed} from the sources as they are`, () => {
    assert.ok(text(packed).includes(stamp(entry)), 'stale: run node static/panel/pack.mjs');
  });

  test(`it packs the panel's ${packed} to the byte again`, { skip: !existsSync(new URL('node_modules/esbuild', root)) }, async () => {
    assert.equal(text(packed), await pack(entry));
  });
}

test('it counts every module of the panel', () => {
  const names = sources(PACKS['main.min.js']).map((path) => path.split('/').at(-1));
  for (const name of ['desk.js', 'reducer.js', 'items.js', 'dialogs.js', 'socket.js', 'preact-htm.js']) assert.ok(names.includes(name), name);
  assert.ok(sources(PACKS['panel.min.css']).some((path) => path.endsWith('tokens.css')));
});

test('it keeps the panel under 45 KB on the wire, both languages counted', () => {
  const whole = Object.keys(PACKS).reduce((sum, name) => sum + gzipSync(text(name), { level: 9 }).length, 0);
  assert.ok(whole <= 45_000, `${whole} bytes`);
});

test('it asks for no other host, makes no markup out of text and writes no style into it', () => {
  assert.ok(own.length > 15);
  for (const name of own) {
    assert.doesNotMatch(text(name), /https?:\/\/[a-z]|innerHTML|outerHTML|insertAdjacentHTML|dangerously|\beval\(|new Function|document\.write/, name);
    assert.doesNotMatch(text(name), /\sstyle=/, name);
  }
});

test('it keeps nothing in the browser but ids of tabs and preferences', () => {
  const keeping = own.filter((name) => /\b(?:localStorage|sessionStorage|indexedDB|document\.cookie)\b/.test(text(name)));
  assert.deepEqual(keeping.sort(), ['kept.js']);
  assert.deepEqual(text('kept.js').match(/setItem\(.*\);/g), ['setItem(key, value);', 'setItem(TABS_KEY, JSON.stringify(ids));']);
  const written = own.flatMap((name) => text(name).match(/(?<!function )\bwrite\(.*?\)/g) ?? []);
  assert.deepEqual(written.sort(), ["write(LANGUAGE_KEY, next)", "write(this.key, isOn ? 'on' : 'off')"]);
});
