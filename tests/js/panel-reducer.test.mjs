/** The panel's reducer: what frames and the agent's own doings make of the state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counts } from '../../static/panel/lists.js';
import { INITIAL, reduce } from '../../static/panel/reducer.js';

const NOW = 1_000_000;
const ME = { id: 'me', name: 'Claire', role: 'agent', online: true };
const entry = (more = {}) => ({
  id: 'c1', site: 'airline', number: 41, state: 'assigned', agent: 'me', top: 0, since: NOW, updated: NOW, ...more,
});
const view = (more = {}) => ({ entry: entry(more.entry), ...more, ...(more.entry ? { entry: entry(more.entry) } : {}) });
const message = (seq, more = {}) => ({
  t: 'event', conversation: 'c1', seq, vseq: seq, id: `e${seq}`, kind: 'message', at: NOW + seq,
  sender: { kind: 'visitor' }, body: { text: `text ${seq}` }, ...more,
});
const run = (...actions) => actions.reduce((state, action) => reduce(state, action, NOW), INITIAL);
const WELCOME = { t: 'welcome', v: 1, epoch: 'e1', now: NOW + 5, me: ME, sites: [], agents: [ME], inbox: [entry()] };
const OPENED = [
  { t: 'do_start', me: ME }, WELCOME, { t: 'do_open', conversation: 'c1' },
  { t: 'reset', conversation: 'c1', epoch: 'e1', view: view() },
  { t: 'events', conversation: 'c1', items: [message(1), message(2)], top: 2 },
];
const seqs = (state) => state.threads.c1.events.map((event) => event.seq);

test('it applies the next number, drops a known one and reports a gap', () => {
  const state = run(...OPENED, message(3));
  assert.deepEqual(seqs(state), [1, 2, 3]);
  assert.deepEqual(seqs(reduce(state, message(2), NOW)), [1, 2, 3]);
  const gapped = reduce(state, message(5), NOW);
  assert.deepEqual(seqs(gapped), [1, 2, 3]);
  assert.equal(gapped.threads.c1.hasGap, true);
  const filled = reduce(gapped, { t: 'events', conversation: 'c1', items: [message(4), message(5)], top: 5 }, NOW);
  assert.deepEqual(seqs(filled), [1, 2, 3, 4, 5]);
  assert.equal(filled.threads.c1.hasGap, false);
});

test('it finds silent loss by pos and keeps the clock of the server', () => {
  const state = reduce(run(...OPENED), { t: 'pos', now: NOW + 9, positions: { c1: 4 } }, NOW);
  assert.equal(state.threads.c1.hasGap, true);
  assert.equal(state.skew, 9);
  assert.equal(reduce(run(...OPENED), { t: 'pos', now: NOW, positions: { c1: 2 } }, NOW).threads.c1.hasGap, false);
});

test('it keeps a live event that overtakes its page', () => {
  const early = run(...OPENED.slice(0, 4), message(3), { t: 'events', conversation: 'c1', items: [message(1), message(2)], top: 2 });
  assert.deepEqual(seqs(early), [1, 2, 3]);
});

test('it puts earlier messages before and refuses a page that does not join', () => {
  const late = run(...OPENED.slice(0, 4), { t: 'events', conversation: 'c1', items: [message(7), message(8)], top: 8 });
  const older = (items) => ({ t: 'events', conversation: 'c1', items, top: 8, older: true });
  const asked = reduce(late, { t: 'do_older', conversation: 'c1' }, NOW);
  assert.equal(asked.threads.c1.isLoadingOlder, true);
  const joined = reduce(asked, older([message(5), message(6)]), NOW);
  assert.deepEqual(seqs(joined), [5, 6, 7, 8]);
  assert.equal(joined.threads.c1.isLoadingOlder, false);
  assert.deepEqual(seqs(reduce(asked, older([message(2), message(3)]), NOW)), [7, 8]);
});

test('it keeps what it holds on a resume and forgets it on a reset', () => {
  const resumed = reduce(run(...OPENED), { t: 'reset', conversation: 'c1', epoch: 'e1', view: view({ read: 2 }), resumed: true }, NOW);
  assert.deepEqual(seqs(resumed), [1, 2]);
  assert.equal(resumed.threads.c1.view.read, 2);
  const reset = reduce(run(...OPENED), { t: 'reset', conversation: 'c1', epoch: 'e1', view: view() }, NOW);
  assert.deepEqual(seqs(reset), []);
});

test('it forgets every number when the store is another one', () => {
  const state = reduce(run(...OPENED), { ...WELCOME, epoch: 'e2' }, NOW);
  assert.equal(state.threads.c1.top, 0);
  assert.equal(reduce(run(...OPENED), WELCOME, NOW).threads.c1.top, 2);
});

const POST = { t: 'do_verb', cid: 'k1', verb: { t: 'post', conversation: 'c1', text: 'hello' } };
const OWN = message(3, { cid: 'k1', sender: { kind: 'agent', id: 'me', name: 'Claire' }, body: { text: 'hello' } });
const ACK = { t: 'ack', cid: 'k1', conversation: 'c1', seq: 3, at: NOW };

test('it shows a reply as waiting until its own event takes the place', () => {
  const sent = run(...OPENED, POST);
  assert.equal(sent.pending[0].state, 'waiting');
  const acked = reduce(sent, ACK, NOW);
  assert.equal(acked.pending[0].state, 'acked');
  assert.deepEqual(reduce(acked, OWN, NOW).pending, []);
  const eventFirst = reduce(sent, OWN, NOW);
  assert.deepEqual(eventFirst.pending, []);
  assert.deepEqual(reduce(eventFirst, ACK, NOW).pending, []);
  assert.deepEqual(seqs(eventFirst), [1, 2, 3]);
});

test('it takes a reply out of the waiting ones when a page brings it back', () => {
  const state = run(...OPENED, POST, { t: 'events', conversation: 'c1', items: [OWN], top: 3 });
  assert.deepEqual(state.pending, []);
});

test('it keeps a reply through a passing error and marks a lasting one', () => {
  const error = (code) => ({ t: 'error', code, sentence: 's', cid: 'k1' });
  assert.equal(reduce(run(...OPENED, POST), error('store_down'), NOW).pending[0].state, 'waiting');
  const failed = reduce(run(...OPENED, POST), error('too_long'), NOW);
  assert.equal(failed.pending[0].state, 'failed');
  assert.equal(reduce(failed, { t: 'do_retry', cid: 'k1' }, NOW).pending[0].state, 'waiting');
});

test('it ends a verb that writes nothing with its answer and tells its refusal', () => {
  const claim = { t: 'do_verb', cid: 'k2', verb: { t: 'claim', conversation: 'c1' } };
  assert.deepEqual(reduce(run(...OPENED, claim), { ...ACK, cid: 'k2', seq: 9 }, NOW).pending, []);
  const refused = reduce(run(...OPENED, claim), { t: 'error', code: 'bad_state', sentence: 's', cid: 'k2' }, NOW);
  assert.deepEqual(refused.pending, []);
  assert.equal(refused.notices[0].code, 'bad_state');
  const late = reduce(run(...OPENED, claim), { t: 'error', code: 'too_many', sentence: 's', cid: 'k2', retry_after: 75 }, NOW);
  assert.deepEqual([late.pending, late.notices[0].retryAfter], [[], 75]);
});

const PROVEN = view({ standing: { level: 2, until: NOW + 600, reference: 'QX7T4P' } });
const RECORD = { t: 'record', cid: 'k3', conversation: 'c1', reference: 'QX7T4P', title: 'T', state: '', lines: [], options: [] };
const SHOW = { t: 'do_verb', cid: 'k3', verb: { t: 'show_record', conversation: 'c1' } };
const PROVED = [...OPENED, { t: 'reset', conversation: 'c1', epoch: 'e1', view: PROVEN, resumed: true }, SHOW, RECORD];
const system = (seq, kind, body = {}) => message(seq, { kind, body, sender: { kind: 'system' } });

test('it takes the record off the screen as soon as its owner is not proven', () => {
  assert.equal(run(...PROVED).threads.c1.record.title, 'T');
  const down = system(3, 'standing', { standing: { level: 0 }, why: 'expired' });
  assert.equal(reduce(run(...PROVED), down, NOW).threads.c1.record, null);
  const other = system(3, 'standing', { standing: { level: 2, until: NOW + 9, reference: 'ZZZZZZ' }, why: 'code' });
  assert.equal(reduce(run(...PROVED), other, NOW).threads.c1.record, null);
  assert.equal(reduce(run(...PROVED), system(3, 'frozen'), NOW).threads.c1.record, null);
  assert.equal(reduce(run(...PROVED), system(3, 'closed', { by: 'agent' }), NOW).threads.c1.record, null);
  assert.equal(reduce(run(...PROVED), { t: 'gone', conversation: 'c1' }, NOW).threads.c1.record, null);
  assert.equal(run(...PROVED, { t: 'do_sign_out' }).threads.c1, undefined);
  assert.equal(reduce(run(...PROVED), message(3), NOW).threads.c1.record.title, 'T');
});

test('it brings back no record that was hidden while it was asked for again', () => {
  const hidden = run(...PROVED, { ...SHOW, cid: 'k4' }, { t: 'do_hide_record', conversation: 'c1' });
  assert.deepEqual(hidden.pending, []);
  assert.equal(reduce(hidden, { ...RECORD, cid: 'k4' }, NOW).threads.c1.record, null);
});

test('it follows a check and the standing by their events', () => {
  const check = { id: 'k', state: 'started', until: NOW + 600, tries_left: 5 };
  const state = run(...OPENED, system(3, 'check', { check }), system(4, 'standing', { standing: { level: 2, until: NOW + 9, reference: 'R' }, why: 'code' }));
  assert.equal(state.threads.c1.view.check.tries_left, 5);
  assert.equal(state.threads.c1.view.standing.reference, 'R');
});

test('it does not let an old page set back a newer view', () => {
  const fresh = view({ entry: { top: 3 }, check: { id: 'k', state: 'verified' } });
  const old = system(3, 'check', { check: { id: 'k', state: 'started' } });
  const state = run(...OPENED.slice(0, 3), { t: 'reset', conversation: 'c1', epoch: 'e1', view: fresh },
    { t: 'events', conversation: 'c1', items: [message(1), message(2), old], top: 3 });
  assert.equal(state.threads.c1.view.check.state, 'verified');
});

test('it raises a live alarm once and none for an alarm of the past', () => {
  const alarm = system(3, 'alarm', { code: 'not_me' });
  const state = run(...OPENED, alarm, alarm);
  assert.deepEqual(state.notices.map((notice) => notice.code), ['not_me']);
  const past = run(...OPENED, { t: 'events', conversation: 'c1', items: [alarm], top: 3 });
  assert.deepEqual(past.notices, []);
});

test('it puts the alarm away that says "frozen" when the conversation is released, and no other', () => {
  const alarms = [system(3, 'alarm', { code: 'not_me_used' }), system(4, 'alarm', { code: 'tries_used' })];
  assert.equal(run(...OPENED, ...alarms).notices.length, 2);
  assert.deepEqual(run(...OPENED, ...alarms, system(5, 'unfrozen', {})).notices.map((notice) => notice.code), ['tries_used']);
});

test('it holds nothing any more when it is closed', () => {
  const held = { t: 'inbox', entry: entry({ held: 11 }) };
  assert.equal(run(...OPENED, held).threads.c1.view.entry.held, 11);
  const closed = run(...OPENED, held, system(3, 'closed', { by: 'agent' }), { t: 'gone', conversation: 'c1' });
  assert.equal(closed.threads.c1.view.entry.held, 0);
});

test('it upserts a line of the inbox, removes it, and keeps its tab as a memory', () => {
  const other = entry({ id: 'c2', number: 42, state: 'waiting', agent: '' });
  const state = run(...OPENED, { t: 'inbox', entry: other });
  assert.deepEqual(Object.keys(state.inbox), ['c1', 'c2']);
  const gone = reduce(state, { t: 'gone', conversation: 'c1' }, NOW);
  assert.deepEqual(Object.keys(gone.inbox), ['c2']);
  assert.equal(gone.threads.c1.isGone, true);
  assert.deepEqual(gone.open, ['c1']);
});

test('it counts and marks a conversation that a colleague gave us, until it is opened', () => {
  const theirs = run({ t: 'do_start', me: ME }, { ...WELCOME, inbox: [] });
  const given = reduce(theirs, { t: 'inbox', entry: entry() }, NOW);
  assert.deepEqual(given.given, ['c1']);
  assert.equal(counts(given).unread, 1);
  assert.deepEqual(reduce(given, { t: 'inbox', entry: entry({ updated: NOW + 1 }) }, NOW).given, ['c1']);
  const opened = reduce(given, { t: 'do_open', conversation: 'c1' }, NOW);
  assert.deepEqual([opened.given, counts(opened).unread], [[], 0]);
  assert.deepEqual(reduce(given, { t: 'gone', conversation: 'c1' }, NOW).given, []);
  const told = ({ notices }) => notices.map(({ kind, conversation }) => `${kind} ${conversation}`);
  assert.deepEqual([given, opened, reduce(given, { t: 'inbox', entry: entry({ agent: 'you' }) }, NOW)].map(told), [['given c1'], [], []]);
  const alarms = Array.from({ length: 4 }, (_, at) => ({ id: at, kind: 'alarm', code: `alarm${at}`, sentence: '', conversation: 'c2', retryAfter: 0 }));
  assert.deepEqual(reduce({ ...theirs, notices: alarms }, { t: 'inbox', entry: entry() }, NOW).notices, alarms, 'no alarm gives way');
  const taken = [entry({ state: 'waiting', agent: '' }), entry()].reduce((state, one) => reduce(state, { t: 'inbox', entry: one }, NOW), theirs);
  assert.deepEqual(taken.given, []);
});

const LOST = { t: 'error', code: 'not_found', sentence: 'no', conversation: 'c1' };
test('it shows nothing as true of a conversation that it does not follow any more', () => {
  const proven = run(...OPENED.slice(0, 3), { t: 'reset', conversation: 'c1', epoch: 'e1', view: PROVEN }, OPENED[4]);
  const { view: shown, isGone, isLost } = reduce(proven, LOST, NOW).threads.c1;
  assert.deepEqual([isGone, isLost, shown.standing, shown.entry.level], [true, true, null, 0]);
});

test('it knows who has it now, also when it is read in that moment', () => {
  const news = system(3, 'assigned', { agent: { name: 'Noor' }, agent_id: 'noor', by: 'Claire' });
  const state = run(...OPENED, { t: 'inbox', entry: entry({ unread: 1 }) }, news, { t: 'do_read', conversation: 'c1', read: 2 }, LOST);
  assert.equal(state.threads.c1.view.entry.agent, 'noor');
});

test('it follows anew what is ours again, and not what only waits for somebody', () => {
  const lost = run(...OPENED, LOST, { t: 'gone', conversation: 'c1' });
  const waiting = reduce(lost, { t: 'inbox', entry: entry({ state: 'waiting', agent: '' }) }, NOW);
  assert.deepEqual([waiting.threads.c1.isGone, waiting.threads.c1.wantsWatch], [true, false]);
  const back = reduce(waiting, { t: 'inbox', entry: entry() }, NOW);
  assert.deepEqual([back.threads.c1.isGone, back.threads.c1.wantsWatch], [true, true]);
  const again = reduce(back, { t: 'reset', conversation: 'c1', epoch: 'e1', view: view(), resumed: true }, NOW);
  assert.deepEqual([again.threads.c1.isGone, again.threads.c1.isLost, again.threads.c1.wantsWatch], [false, false, false]);
  assert.deepEqual(seqs(reduce(again, message(3), NOW)), [1, 2, 3]);
});

test('it calls a reply held, not sent, when no event tells it', () => {
  const held = run(...OPENED, POST, LOST, { ...ACK, held: 'h1' });
  assert.deepEqual([held.pending[0].state, held.pending[0].isHeld], ['acked', true]);
  const anew = reduce(held, { t: 'reset', conversation: 'c1', epoch: 'e1', view: view() }, NOW);
  assert.deepEqual(anew.pending, []); // it comes among the events
});

test('it puts away a kept tab that the server does not know', () => {
  const kept = run({ t: 'do_start', me: ME }, { t: 'do_open', conversation: 'c9' }, WELCOME);
  const state = reduce(kept, { t: 'error', code: 'not_found', sentence: '', conversation: 'c9' }, NOW);
  assert.deepEqual(state.open, []);
  assert.deepEqual(state.notices, []);
});

test('it turns to the neighbour when a tab is put away', () => {
  const open = (id) => ({ t: 'do_open', conversation: id });
  const state = run(...OPENED, open('c2'), open('c3'), open('c2'), { t: 'do_shut', conversation: 'c2' });
  assert.deepEqual(state.open, ['c1', 'c3']);
  assert.equal(state.active, 'c3');
});

test('it keeps what was refused when its tab is put away, and tells of what is refused afterwards', () => {
  const refusal = { t: 'error', code: 'too_long', sentence: 's', cid: POST.cid, conversation: 'c1' };
  const shut = { t: 'do_shut', conversation: 'c1' };
  const before = run(...OPENED, POST, refusal, shut);
  assert.deepEqual([before.pending.map((item) => item.state), before.notices.length], [['failed'], 0]);
  const after = run(...OPENED, POST, shut, refusal);
  assert.deepEqual([after.pending.map((item) => item.state), after.notices.map((one) => one.conversation)], [['failed'], ['c1']]);
  assert.deepEqual(run(...OPENED, POST, ACK, shut).pending, []);
});

test('it keeps unsent texts for the same agent and not for another', () => {
  const out = run(...OPENED, POST, { t: 'do_sign_out' });
  assert.equal(out.phase, 'signed_out');
  assert.equal(out.pending.length, 1);
  assert.deepEqual(out.inbox, {});
  assert.equal(reduce(out, { t: 'do_start', me: ME }, NOW).pending.length, 1);
  const other = reduce(out, { t: 'do_start', me: { ...ME, id: 'you' } }, NOW);
  assert.deepEqual([other.pending, other.open], [[], []]);
});

test('it lets marks only rise', () => {
  const marks = (delivered, read) => ({ t: 'marks', conversation: 'c1', who: 'visitor', delivered, read });
  const state = run(...OPENED, marks(2, 1), marks(1, 0));
  assert.deepEqual([state.threads.c1.view.delivered, state.threads.c1.view.read], [2, 1]);
});

test('it clears the unread count once the end was seen', () => {
  const state = run(...OPENED, { t: 'inbox', entry: entry({ unread: 2 }) }, { t: 'do_read', conversation: 'c1', read: 2 });
  assert.equal(state.inbox.c1.unread, 0);
  assert.equal(state.threads.c1.view.mine, 2);
});

test('it shows typing of the visitor for a while and stops at the message', () => {
  const typing = { t: 'typing', conversation: 'c1', who: 'visitor' };
  assert.ok(run(...OPENED, typing).threads.c1.typingUntil > NOW);
  assert.equal(run(...OPENED, typing, message(3)).threads.c1.typingUntil, 0);
  assert.equal(run(...OPENED, { ...typing, who: 'staff' }).threads.c1.typingUntil, 0);
});

test('it never changes the state that it was given', () => {
  const freeze = (value) => {
    if (value && typeof value === 'object' && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(freeze);
    return value;
  };
  const all = [...PROVED, POST, ACK, OWN, message(9), system(4, 'frozen'), { t: 'gone', conversation: 'c1' },
    { t: 'do_shut', conversation: 'c1' }, { t: 'do_sign_out' }];
  const end = all.reduce((state, action) => freeze(reduce(freeze(state), freeze(structuredClone(action)), NOW)), INITIAL);
  assert.equal(end.phase, 'signed_out');
});

test('it ignores a frame of a later version', () => {
  const state = run(...OPENED);
  assert.equal(reduce(state, { t: 'something_new', conversation: 'c1' }, NOW), state);
});

test('it follows the last of the queue to where it went, and stays while others wait', () => {
  const waiting = (id) => entry({ id, state: 'waiting', agent: '' });
  const begin = [{ t: 'do_start', me: ME }, { ...WELCOME, inbox: [waiting('c1')] }, { t: 'do_open', conversation: 'c1' }];
  assert.equal(run(...begin, { t: 'inbox', entry: entry() }).inboxTab, 'mine');
  assert.equal(run(...begin, { t: 'inbox', entry: waiting('c2') }, { t: 'inbox', entry: entry() }).inboxTab, 'queue');
  assert.equal(run(...begin, { t: 'inbox', entry: entry({ agent: 'you' }) }).inboxTab, 'queue');
  const looking = [{ t: 'inbox', entry: entry() }, { t: 'do_inbox_tab', tab: 'queue' }, { t: 'inbox', entry: entry({ unread: 1 }) }];
  assert.equal(run(...begin, ...looking).inboxTab, 'queue');
});

test('it says nothing of a refusal that nobody asked for, and tells other errors', () => {
  const state = run(...OPENED);
  assert.equal(reduce(state, { t: 'error', code: 'not_found', sentence: 's' }, NOW), state);
  assert.equal(reduce(state, { t: 'error', code: 'too_many', sentence: 's' }, NOW).notices.length, 1);
});
