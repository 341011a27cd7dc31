/**
 * Packs the widget for the wire: `node widget/pack.mjs` writes the `.min` files. Needs esbuild.
 *
 * Each begins with a stamp of the sources that they were made from; a test refuses a stale one. The guard, the cards,
 * the fallback and the words stay files of their own, fetched when they are needed. Why there is a packer: docs/adr.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
export const PACKS = {
  'loader.min.js': 'loader.js',
  'app/main.min.js': 'app/main.js',
  'app/cards.min.js': 'app/cards.js',
  'app/cards.en.min.js': 'app/cards.en.js',
  'app/cards.fr.min.js': 'app/cards.fr.js',
  'app/guard.min.js': 'app/guard.js',
  'app/fallback.min.js': '../static/shared/fallback.js',
  'app/words.en.min.js': 'app/words.en.js',
  'app/words.fr.min.js': 'app/words.fr.js',
  'app/app.min.css': 'app/app.css',
};
const WORDS = ['./words.en.js', './words.fr.js'];
/** What a packed module finds in another packed one. */
const KIT = './kit.js';
const LATER = /(?<=(["'`])\.\/(?:guard|fallback|cards|cards\.\w\w|words\.\w\w))\.js(?=\1)/g;

/**
 * @param {string} entry path from widget/
 * @returns {string[]} absolute paths: the entry and all that it imports for good, not what it fetches later
 */
export function sources(entry) {
  const found = new Set([resolve(HERE, entry)]);
  for (const file of found) {
    const text = readFileSync(file, 'utf8');
    for (const pattern of [/^(?:import|export)\b[^;]*?\bfrom '(\.[^']+)';/gm, /^@import url\("([^"]+)"\)/gm]) {
      for (const [, path] of text.matchAll(pattern)) found.add(resolve(dirname(file), path));
    }
  }
  return [...found].sort();
}

/**
 * @param {string} entry path from widget/
 * @returns {string} names the sources and their contents
 */
export function stamp(entry) {
  const sum = createHash('sha256');
  for (const file of sources(entry)) sum.update(relative(ROOT, file)).update('\0').update(readFileSync(file)).update('\0');
  return `/* packed from ${entry} ${sum.digest('hex').slice(0, 16)} */`;
}

/**
 * @param {string} entry path from widget/
 * @returns {Promise<string>} what stands in the packed file
 */
export async function pack(entry) {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [join(HERE, entry)],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    external: entry === 'app/cards.js' ? [KIT] : WORDS,
    write: false,
  });
  const head = entry.endsWith('.js') ? `// @ts-nocheck\n${stamp(entry)}` : stamp(entry);
  const text = outputFiles[0].text.replace(LATER, '.min.js').replaceAll(KIT, './main.min.js');
  return `${head}\n${text.replace(/[^\S\n]*\n\s*/g, '\n')}`; // how templates are indented means nothing to htm
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [packed, entry] of Object.entries(PACKS)) writeFileSync(join(HERE, packed), await pack(entry));
}
