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

test('it asks for the record in the agent’s language, and anew when that changes', async () => {
  const entry = { id: ROOM, site: 'air', number: 1, state: 'assigned', agent: 'me', top: 0, since: 1, updated: 1, level: 2 };
  const standing = { level: 2, until: 1_800_000_000, reference: 'QX7T4P' };
  desk.open(ROOM);
  latest().say({ t: 'reset', conversation: ROOM, epoch: 'e1', view: { entry, standing } });
  desk.speak('fr');
  assert.deepEqual(latest().of('show_record'), []); // none is shown
  desk.ask({ t: 'show_record', conversation: ROOM, lang: 'fr' });
  const [{ cid }] = latest().of('show_record');
  latest().say({ t: 'record', cid, conversation: ROOM, reference: 'QX7T4P', title: '', state: '', lines: [], options: [] });
  desk.speak('en');
  assert.deepEqual(latest().of('show_record').map(({ lang }) => lang), ['fr', 'en']);
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
