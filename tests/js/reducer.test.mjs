import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, isCaughtUp, isPassing, reduce, unread } from '../../widget/app/reducer.js';
import { event, events, PRIVACY, ROOM, SITE, view, welcome } from './scripted.mjs';

const fresh = () => reduce(begin({ site: 'airline', name: 'Air Aparté', privacy: PRIVACY }), { type: 'link', link: 'online' });
const hear = (state, ...frames) => frames.reduce((before, frame) => reduce(before, { type: 'frame', frame, now: 1_000 }), state);
const seqs = (state) => state.events.map(({ seq }) => seq);
const talking = (top = 3) => hear(fresh(), welcome(view(top)), { t: 'reset', conversation: ROOM, epoch: 'e1', view: view(top) }, events(1, top));
const waiting = (cid, text = 'hello') => ({ cid, text, at: 1, state: 'waiting' });

test('it starts without a conversation and is caught up by the welcome', () => {
  const state = hear(fresh(), welcome(null, { now: 1_060 }));
  assert.equal(state.view, null);
  assert.equal(state.skew, 60);
  assert.equal(state.site.desk, SITE.desk);
  assert.ok(isCaughtUp(state));
});

test('it is not caught up until the page that follows a reset is here', () => {
  let state = hear(fresh(), welcome(view(150)), { t: 'reset', conversation: ROOM, epoch: 'e1', view: view(150) });
  assert.ok(!isCaughtUp(state));
  state = hear(state, events(51, 150));
  assert.ok(isCaughtUp(state));
  assert.equal(state.last, 150);
  assert.ok(state.hasOlder);
});

test('it applies the next event, drops a known one, and notices a gap', () => {
  let state = hear(talking(3), event(4), event(4), event(2));
  assert.deepEqual(seqs(state), [1, 2, 3, 4]);
  assert.ok(!state.hasGap);
  state = hear(state, event(6));
  assert.deepEqual(seqs(state), [1, 2, 3, 4]);
  assert.ok(state.hasGap);
  assert.ok(!isCaughtUp(state));
  state = hear(state, events(5, 6));
  assert.deepEqual(seqs(state), [1, 2, 3, 4, 5, 6]);
  assert.ok(!state.hasGap);
});

test('it notices by the positions that the last event was lost', () => {
  assert.ok(!hear(talking(3), { t: 'pos', now: 1_000, positions: { [ROOM]: 3 } }).hasGap);
  assert.ok(hear(talking(3), { t: 'pos', now: 1_000, positions: { [ROOM]: 4 } }).hasGap);
});

test('it waits for the page when a live event overtakes it', () => {
  const before = hear(fresh(), welcome(view(3)), { t: 'reset', conversation: ROOM, epoch: 'e1', view: view(3) }, event(4));
  assert.deepEqual(seqs(before), []);
  assert.deepEqual(seqs(hear(before, events(1, 4))), [1, 2, 3, 4]);
});

test('it goes on where it was after a resume, and forgets all under another epoch', () => {
  const before = talking(3);
  const resumed = hear(before, welcome(view(5)), events(4, 5));
  assert.deepEqual(seqs(resumed), [1, 2, 3, 4, 5]);
  assert.deepEqual(seqs(hear(before, welcome(view(5), { epoch: 'e2' }))), []);
});

test('it puts older events in front, once', () => {
  let state = hear(fresh(), welcome(view(150)), { t: 'reset', conversation: ROOM, epoch: 'e1', view: view(150) }, events(51, 150));
  state = reduce(state, { type: 'fetching' });
  state = hear(state, { ...events(1, 50), older: true, more: false }, { ...events(1, 50), older: true });
  assert.equal(state.events.length, 150);
  assert.deepEqual(seqs(state).slice(0, 2), [1, 2]);
  assert.ok(!state.hasOlder && !state.isFetching);
});

test('it refuses older events that do not join on', () => {
  const state = hear(fresh(), welcome(view(150)), { t: 'reset', conversation: ROOM, epoch: 'e1', view: view(150) }, events(51, 150));
  assert.equal(hear(state, { ...events(1, 40), older: true }).events.length, 100);
});

test('it ignores what belongs to another conversation', () => {
  const before = talking(3);
  const other = 'd'.repeat(22);
  const after = hear(before, event(4, { conversation: other }), { ...events(4, 5), conversation: other }, { t: 'typing', conversation: other, who: 'staff' });
  assert.deepEqual(after, before);
});

for (const order of ['ack first', 'event first']) {
  test(`it shows one message once: ${order}`, () => {
    const said = { cid: 'x1', sender: { kind: 'visitor' } };
    let state = reduce(talking(3), { type: 'entries', entries: [waiting('x1')] });
    assert.equal(state.entries[0].state, 'waiting');
    const ack = { t: 'ack', cid: 'x1', conversation: ROOM, seq: 4, at: 1 };
    if (order === 'ack first') {
      state = hear(state, ack);
      assert.equal(state.entries[0].state, 'sent');
      state = hear(state, event(4, said));
    } else state = hear(state, event(4, said), ack);
    assert.deepEqual(state.entries, []);
    assert.deepEqual(seqs(state), [1, 2, 3, 4]);
  });
}

test('it does not bring back from storage what the thread already shows', () => {
  const state = hear(talking(3), event(4, { cid: 'x1', sender: { kind: 'visitor' } }));
  assert.deepEqual(reduce(state, { type: 'entries', entries: [waiting('x1'), waiting('x2')] }).entries.map(({ cid }) => cid), ['x2']);
});

test('it opens a conversation and takes its first events from number 1', () => {
  let state = reduce(hear(fresh(), welcome(null)), { type: 'entries', entries: [waiting('x1')] });
  state = hear(state, { t: 'opened', cid: 'x1', conversation: view(2, { state: 'waiting' }) });
  assert.equal(state.entries[0].state, 'sent');
  state = hear(state, event(1, { cid: 'x1', sender: { kind: 'visitor' } }), event(2));
  assert.deepEqual(state.entries, []);
  assert.deepEqual(seqs(state), [1, 2]);
});

test('it tells a passing refusal from a final one', () => {
  assert.ok(isPassing('too_many', 3));
  assert.ok(isPassing('store_down'));
  assert.ok(!isPassing('cid_conflict'));
  const state = reduce(talking(), { type: 'entries', entries: [waiting('x1')] });
  const later = hear(state, { t: 'error', code: 'too_many', sentence: 's', cid: 'x1', retry_after: 2 }).entries[0];
  assert.deepEqual([later.state, later.isLate], ['waiting', true]);
  const never = hear(state, { t: 'error', code: 'too_long', sentence: 's', cid: 'x1' }).entries[0];
  assert.deepEqual([never.state, never.code], ['refused', 'too_long']);
});

test('it does not let history turn the view back', () => {
  const now = view(3, { state: 'waiting', frozen: false });
  const system = { kind: 'system' };
  const items = [event(1), event(2, { kind: 'frozen', body: {}, sender: system }), event(3, { kind: 'closed', body: { by: 'agent' }, sender: system })];
  const state = hear(fresh(), welcome(now), { t: 'reset', conversation: ROOM, epoch: 'e1', view: now }, { t: 'events', conversation: ROOM, top: 3, items });
  assert.deepEqual(state.view, now);
});

test('it follows what happens to the conversation', () => {
  const agent = { name: 'Claire', role: 'Bookings desk' };
  const step = (state, kind, body = {}) => hear(state, event(state.last + 1, { kind, body, sender: { kind: 'system' } }));
  let state = step(talking(1), 'assigned', { agent });
  assert.deepEqual(state.view.agent, agent);
  state = step(state, 'frozen');
  assert.ok(state.view.frozen);
  state = step(state, 'unfrozen');
  assert.ok(!state.view.frozen);
  state = step(state, 'closed', { by: 'visitor' });
  assert.equal(state.view.state, 'closed');
  state = step(state, 'reopened');
  assert.equal(state.view.state, 'waiting');
});

test('it tells a wrong code from a letter sent again', () => {
  const card = { id: 'k'.repeat(22), state: 'started', until: 9, tries_left: 5, sends_left: 2 };
  const step = (state, check) => hear(state, event(state.last + 1, { kind: 'check', body: { check }, sender: { kind: 'system' } }));
  let state = step(talking(1), card);
  assert.equal(state.checkNote, '');
  state = step(state, { ...card, tries_left: 4 });
  assert.equal(state.checkNote, 'wrong');
  state = step(state, { ...card, tries_left: 4, sends_left: 1 });
  assert.equal(state.checkNote, 'resent');
  state = step(state, { ...card, tries_left: 3, sends_left: 1 });
  const said = { kind: 'message', body: { text: 'hm' }, sender: { kind: 'visitor' } };
  assert.equal(hear(state, event(state.last + 1, said)).checkNote, '', 'else it would seem to be about what was said since');
  state = step(state, { id: card.id, state: 'verified' });
  assert.equal(state.checkNote, '');
  assert.equal(state.view.check.state, 'verified');
});

test('it tells a refused code as a wrong one, once', () => {
  const state = reduce(talking(), { type: 'asked', cid: 'd1', deed: 'code' });
  const after = hear(state, { t: 'error', code: 'code_refused', sentence: 's', cid: 'd1' });
  assert.deepEqual([after.checkNote, after.failure, after.asking], ['wrong', null, null]);
});

test('it moves the end of what was proven with each message of the customer, never beyond the most', () => {
  const standing = { level: 2, until: 1_000, most: 1_700_000_100, idle: 50 };
  const proven = hear(talking(1), event(2, { kind: 'standing', body: { standing, why: 'code' }, sender: { kind: 'system' } }));
  assert.equal(hear(proven, event(3)).view.standing.until, 1_000);
  const said = hear(proven, event(3, { sender: { kind: 'visitor' } }));
  assert.equal(said.view.standing.until, 1_700_000_053);
  assert.equal(hear(said, event(4, { sender: { kind: 'visitor' }, at: 1_700_000_090 })).view.standing.until, 1_700_000_100);
});

test('it keeps the refusal of a deed until the next try', () => {
  let state = reduce(talking(), { type: 'asked', cid: 'd1', deed: 'code' });
  state = hear(state, { t: 'error', code: 'too_many', sentence: 's', cid: 'd1', retry_after: 30 });
  assert.equal(state.asking, null);
  assert.equal(state.failure.code, 'too_many');
  assert.equal(reduce(state, { type: 'asked', cid: 'd2', deed: 'code' }).failure, null);
});

test('it lets marks only rise', () => {
  let state = hear(talking(), { t: 'marks', conversation: ROOM, who: 'staff', delivered: 3, read: 2 });
  state = hear(state, { t: 'marks', conversation: ROOM, who: 'staff', delivered: 1, read: 1 });
  assert.deepEqual([state.view.delivered, state.view.read], [3, 2]);
});

test('it counts only messages of the company that are not read', () => {
  let state = reduce(talking(2), { type: 'seen', read: 2 });
  state = hear(state, event(3, { sender: { kind: 'visitor' } }), event(4), event(5, { kind: 'assigned', body: { agent: { name: 'C', role: '' } } }));
  assert.equal(unread(state), 1);
  state = reduce(state, { type: 'seen', read: 5 });
  assert.equal(unread(state), 0);
  assert.equal(reduce(state, { type: 'seen', read: 2 }).read, 5);
});

test('it takes an answer for unread when a kept message is sent after it while the conversation is shut', () => {
  const before = reduce(talking(2), { type: 'seen', read: 2 });
  const state = hear(before, event(3, { sender: { kind: 'agent' } }), event(4, { sender: { kind: 'visitor' } }));
  assert.deepEqual([state.read, unread(state)], [2, 1]);
  assert.equal(hear(before, event(3, { sender: { kind: 'visitor' } })).read, 3);
});

test('it says that the line is cut only when it was lost, not while it is first sought', () => {
  let state = reduce(begin({ site: 'a', name: 'b', privacy: PRIVACY }), { type: 'link', link: 'connecting' });
  assert.ok(!state.isCut);
  state = reduce(state, { type: 'link', link: 'waiting' });
  state = reduce(state, { type: 'link', link: 'connecting' });
  assert.ok(state.isCut);
  assert.ok(!reduce(state, { type: 'link', link: 'online' }).isCut);
});

test('it leaves the state as it is on a frame of a later version', () => {
  const before = talking();
  assert.equal(hear(before, { t: 'confetti' }), before);
});
