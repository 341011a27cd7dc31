/**
 * Packs the panel for the wire: `node static/panel/pack.mjs` writes its `.min` files, as widget/pack.mjs does for the
 * widget. Needs esbuild; a test refuses a stale file.
 *
 * @module
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pack } from '../../widget/pack.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
/** Packed file, beside this one, and what it is made from, as seen from widget/. */
export const PACKS = {
  'main.min.js': '../static/panel/main.js',
  'fallback.min.js': '../static/shared/fallback.js',
  'words.en.min.js': '../static/panel/words.en.js',
  'words.fr.min.js': '../static/panel/words.fr.js',
  'panel.min.css': '../static/panel/panel.css',
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [packed, entry] of Object.entries(PACKS)) writeFileSync(join(HERE, packed), await pack(entry));
}
