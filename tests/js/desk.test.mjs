/** The agent's desk: what it sends again, and what becomes of a wish whose answer was lost. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { install, latest, ROOM } from './scripted.mjs';

const ME = { id: 'me', name: 'Me', role: 'supervisor' };
let desk;

beforeEach(async () => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  install();
  globalThis.location = { href: 'https://chat.example/panel' };
  globalThis.fetch = async (path) => ({ ok: true, status: 200, json: async () => (path === '/api/me' ? ME : { ticket: 't' }) });
  const { Desk } = await import('../../static/panel/desk.js');
  desk = new Desk(() => {});
  await desk.start();
  await online();
});
afterEach(() => {
  desk.link.stop();
  mock.timers.reset();
});

async function online() {
  await latest().open();
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve(); // the ticket is fetched
  latest().say({ t: 'welcome', v: 1, epoch: 'e1', now: 1_700_000_000, me: ME, agents: [], sites: [], inbox: [] });
}

for (const verb of [
  { t: 'drop_held', conversation: ROOM, held: 'h' },
  { t: 'override', conversation: ROOM, held: 'h', reason: 'I know her' },
  { t: 'ask_check', conversation: ROOM },
  { t: 'close', conversation: ROOM },
]) {
  test(`it repeats ${verb.t} under the same cid until it is answered, over a break too`, async () => {
    let done = 0;
    desk.ask(verb, () => (done += 1));
    const [first] = latest().of(verb.t);
    mock.timers.tick(11_000);
    assert.deepEqual(latest().of(verb.t), [first, first]);
    latest().end(1006);
    mock.timers.tick(1_000);
    await online();
    assert.deepEqual(latest().of(verb.t), [first]);
    latest().say({ t: 'ack', cid: first.cid, conversation: ROOM, seq: 3, at: 1 });
    assert.equal(done, 1); // the text of a held message comes back to be edited
    mock.timers.tick(11_000);
    assert.deepEqual(latest().of(verb.t), [first]);
  });
}

/** Opens a conversation with a proven customer. */
function opened(id) {
  const entry = { id, site: 'air', number: 1, state: 'assigned', agent: 'me', top: 0, since: 1, updated: 1, level: 2 };
  desk.open(id);
  latest().say({ t: 'reset', conversation: id, epoch: 'e1', view: { entry, standing: { level: 2, until: 1_800_000_000, reference: 'QX7T4P' } } });
}

/** The booking comes as it was asked for the nth time; a node of the version before says no language. */
function shown(nth, { isOlder = false } = {}) {
  const { cid, conversation, lang } = latest().of('show_record')[nth];
  latest().say({ t: 'record', cid, conversation, reference: 'QX7T4P', title: '', state: '', lines: [], options: [], ...(isOlder ? {} : { lang }) });
}
const asked = () => latest().of('show_record').map(({ conversation, lang }) => [conversation, lang]);

test('it asks for the record in the agent’s language, and anew when that changes', () => {
  opened(ROOM);
  desk.speak('fr');
  assert.deepEqual(asked(), []); // none is shown
  desk.showRecord(ROOM);
  shown(0);
  desk.speak('en');
  assert.deepEqual(asked(), [[ROOM, 'fr'], [ROOM, 'en']]);
});

test('the record ends in the agent’s language, whatever was asked when that changed', () => {
  opened(ROOM);
  desk.showRecord(ROOM);
  desk.speak('fr'); // before the answer
  shown(0);
  assert.deepEqual(asked(), [[ROOM, 'en'], [ROOM, 'fr']]);
  desk.speak('en'); // and back again
  desk.speak('fr');
  desk.speak('en');
  shown(1);
  shown(2);
  assert.deepEqual(asked().slice(2), [[ROOM, 'en']]); // one at a time: no older answer comes after a newer
  assert.equal(desk.state.threads[ROOM].record.lang, 'en');
});

test('after a change the record is asked for anew, also while it is on its way, and no older answer replaces a newer', () => {
  const done = (seq) => latest().say({ t: 'event', conversation: ROOM, seq, id: `e${seq}`, kind: 'act', at: 1, sender: { kind: 'system' }, body: { act: 'change', state: 'done' } });
  const cids = () => latest().of('show_record').map(({ cid }) => cid);
  opened(ROOM);
  done(1);
  assert.deepEqual(asked(), []); // nobody wants to see it
  desk.showRecord(ROOM);
  done(2);
  done(3);
  assert.equal(asked().length, 3);
  shown(1);
  shown(0);
  assert.equal(desk.state.threads[ROOM].record.cid, cids()[1]);
  mock.timers.tick(11_000);
  assert.deepEqual(cids().slice(3), [cids()[2]]); // of the others nothing is wanted any more
  shown(2);
  assert.equal(desk.state.threads[ROOM].record.cid, cids()[2]);
});

test('only the record in sight is asked for anew, another when it comes into sight', () => {
  const other = 'd'.repeat(22);
  for (const [nth, id] of [ROOM, other].entries()) {
    opened(id);
    desk.showRecord(id);
    shown(nth);
  }
  desk.speak('fr');
  shown(2);
  assert.deepEqual(asked().slice(2), [[other, 'fr']]);
  desk.open(ROOM);
  assert.deepEqual(asked().slice(3), [[ROOM, 'fr']]);
  latest().say({ t: 'error', code: 'records_down', sentence: 'no', cid: latest().of('show_record')[3].cid });
  assert.equal(asked().length, 4); // refused, it is not asked again and again
});

test('a node of the version before, which says no language, is not asked for another', () => {
  opened(ROOM);
  desk.showRecord(ROOM);
  shown(0, { isOlder: true });
  desk.speak('fr');
  assert.equal(asked().length, 1);
});

test('it asks for the record without a language where a node of the version before refuses one', () => {
  desk.ask({ t: 'show_record', conversation: ROOM, lang: 'fr' });
  const [first] = latest().of('show_record');
  latest().say({ t: 'error', code: 'bad_frame', sentence: 'no', cid: first.cid });
  assert.deepEqual(latest().of('show_record'), [first, { t: 'show_record', cid: first.cid, conversation: ROOM }]);
  assert.deepEqual(desk.state.notices, []);
  latest().say({ t: 'error', code: 'bad_frame', sentence: 'no', cid: first.cid }); // then it is something else
  assert.equal(latest().of('show_record').length, 2);
  assert.deepEqual(desk.state.notices.map(({ code }) => code), ['bad_frame']);
});

test('it watches anew the open conversation that was passed on and came back', async () => {
  const entry = { id: ROOM, site: 'air', number: 1, state: 'assigned', agent: 'me', top: 1, since: 1, updated: 1 };
  const message = { t: 'event', conversation: ROOM, seq: 1, vseq: 1, id: 'e1', kind: 'message', at: 1, sender: { kind: 'visitor' }, body: { text: 'hi' } };
  desk.open(ROOM);
  latest().say({ t: 'reset', conversation: ROOM, epoch: 'e1', view: { entry } });
  latest().say({ t: 'events', conversation: ROOM, items: [message], top: 1 });
  const before = latest().of('watch').length;
  latest().say({ t: 'error', code: 'not_found', sentence: 'no', conversation: ROOM });
  latest().say({ t: 'gone', conversation: ROOM });
  assert.equal(latest().of('watch').length, before);
  latest().say({ t: 'inbox', entry });
  assert.deepEqual(latest().of('watch').slice(before), [{ t: 'watch', conversation: ROOM, last_seq: 1 }]);
  latest().say({ t: 'inbox', entry: { ...entry, updated: 2 } });
  assert.equal(desk.state.threads[ROOM].isGone, true); // until the server has answered
});
