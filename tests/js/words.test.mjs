import assert from 'node:assert/strict';
import { test } from 'node:test';
import { words as cardsEn } from '../../widget/app/cards.en.js';
import { words as cardsFr } from '../../widget/app/cards.fr.js';
import { words as firstEn } from '../../widget/app/words.en.js';
import { words as firstFr } from '../../widget/app/words.fr.js';

const en = { ...firstEn, ...cardsEn };
const fr = { ...firstFr, ...cardsFr };

/** Every path through the words, with what kind of thing stands there. */
function paths(words, before = '') {
  return Object.entries(words)
    .flatMap(([key, value]) => (typeof value === 'object' ? paths(value, `${before}${key}.`) : [`${before}${key}: ${typeof value}`]))
    .sort();
}

/** Every sentence, functions called with plain values. */
function sentences(words) {
  return Object.values(words).flatMap((value) => {
    if (typeof value === 'object') return sentences(value);
    return typeof value === 'function' ? [value(1, 'x'), value(2, '')] : [value];
  });
}

test('it says the same things in both languages', () => assert.deepEqual(paths(en), paths(fr)));

test('it says nothing at two places', () => {
  for (const key of Object.keys(cardsEn)) assert.ok(!(key in firstEn), key);
});

test('it leaves nothing empty and no hole in a sentence', () => {
  for (const words of [en, fr]) {
    for (const sentence of sentences(words)) {
      assert.ok(sentence.trim());
      assert.doesNotMatch(sentence, /undefined|null|\[object|\s{2}/);
    }
  }
});

test('it sets French as French is set', () => {
  for (const sentence of sentences(fr)) {
    assert.doesNotMatch(sentence, / [?!;:»]|« |'/, sentence);
    assert.doesNotMatch(sentence, /[^\u202F][?!;]/, sentence);
    assert.doesNotMatch(sentence, /\btu\b|\bton\b|\btes\b/i, sentence);
  }
});

test('it begins with a capital what stands alone where the desk has no name', () => {
  for (const { here, away } of [en, fr]) for (const word of [here, away]) assert.match(word, /^\p{Lu}/u);
});

test('it writes no straight quotation marks', () => {
  for (const sentence of sentences(en)) assert.doesNotMatch(sentence, /["']/, sentence);
});

test('it says that the way is encrypted where it is', () => {
  for (const [words, way] of [[en, 'encrypted on the way'], [fr, 'chiffré en chemin']]) {
    assert.deepEqual([true, false].map((isHttps) => words.privacy.sealed(isHttps).includes(way)), [true, false]);
  }
});
