import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendable } from '../../static/shared/text.js';

test('it makes pasted control characters spaces and keeps line breaks and tabs', () => {
  assert.equal(sendable('a\u000bb\u000cc\u0000d\u007fe'), 'a b c d e');
  assert.equal(sendable('one\ntwo\tthree — été 😀'), 'one\ntwo\tthree — été 😀');
});
