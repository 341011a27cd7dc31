import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Memory } from '../../widget/app/memory.js';
import { Talk } from '../../widget/app/talk.js';
import { Drawer, event, events, install, latest, PRIVACY, ROOM, sockets, view, welcome } from './scripted.mjs';

const ME = { kind: 'visitor' };
const made = [];

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  install();
});
afterEach(() => {
  for (const talk of made.splice(0)) talk.link.stop();
  mock.timers.reset();
});

function start(drawer = new Drawer()) {
  const memory = new Memory('airline', () => drawer);
  const config = { site: 'airline', name: 'Air Aparté', privacy: PRIVACY };
  const talk = new Talk({ site: 'airline', config, memory, lang: 'en', onChange: () => {}, url: 'ws://127.0.0.1/ws/visitor' });
  made.push(talk);
  talk.link.start();
  return { talk, memory, drawer };
}

async function online(conversation) {
  await latest().open();
  latest().say(welcome(conversation));
  if (conversation) latest().say({ t: 'reset', conversation: ROOM, epoch: 'e1', view: conversation });
  if (conversation) latest().say(events(1, conversation.top));
}

test('it stores nothing before the person sends', async () => {
  const { talk, drawer } = start();
  await online();
  assert.equal(drawer.length, 0);
  talk.say('hello');
  assert.ok(drawer.getItem('aparte:airline:token'));
});

test('it opens with the first message and posts the next', async () => {
  const { talk, drawer } = start();
  await online();
  talk.origin = { page: 'https://air.example/', title: 'Fares' };
  talk.say('hello', 'Ada');
  const [open] = latest().of('open');
  assert.deepEqual({ ...open, cid: '' }, { t: 'open', cid: '', text: 'hello', name: 'Ada', page: 'https://air.example/', title: 'Fares' });
  latest().say({ t: 'opened', cid: open.cid, conversation: view(1) });
  latest().say(event(1, { cid: open.cid, sender: ME }));
  talk.say('again');
  assert.equal(latest().of('post')[0].conversation, ROOM);
  assert.equal(drawer.length, 2); // the token and the message that waits
});

test('it sends one at a time and in order', async () => {
  const { talk } = start();
  await online(view(1));
  talk.say('one');
  mock.timers.tick(1);
  talk.say('two');
  assert.deepEqual(latest().of('post').map(({ text }) => text), ['one']);
  latest().say({ t: 'ack', cid: latest().of('post')[0].cid, conversation: ROOM, seq: 2, at: 1 });
  assert.deepEqual(latest().of('post').map(({ text }) => text), ['one', 'two']);
});

test('it keeps a message through a lost line and a reload, under the same id', async () => {
  const drawer = new Drawer();
  const first = start(drawer);
  await online(view(1));
  first.talk.say('keep me');
  const [{ cid }] = latest().of('post');
  latest().end(1006);
  first.talk.link.stop();
  const second = start(drawer);
  assert.equal(second.talk.state.entries[0].text, 'keep me');
  await online(view(1));
  assert.deepEqual(latest().of('post').map((frame) => frame.cid), [cid]);
});

test('it does not send again what turns out to have arrived', async () => {
  const drawer = new Drawer();
  const first = start(drawer);
  await online();
  first.talk.say('hello');
  const [{ cid }] = latest().of('open');
  latest().end(1006);
  first.talk.link.stop();
  start(drawer);
  await latest().open();
  latest().say(welcome(view(1)));
  latest().say({ t: 'reset', conversation: ROOM, epoch: 'e1', view: view(1) });
  assert.deepEqual([...latest().of('open'), ...latest().of('post')], []);
  latest().say({ t: 'events', conversation: ROOM, top: 1, items: [event(1, { cid, sender: ME })] });
  assert.deepEqual([...latest().of('open'), ...latest().of('post')], []);
  assert.equal(drawer.getItem(`aparte:airline:out:${cid}`), null);
});

test('it tells after ten seconds that a message waits, and sends it again', async () => {
  const { talk } = start();
  await online(view(1));
  talk.say('hello');
  mock.timers.tick(9_900);
  assert.ok(!talk.state.entries[0].isLate);
  mock.timers.tick(200);
  assert.ok(talk.state.entries[0].isLate);
  const posts = latest().of('post');
  assert.equal(posts.length, 2);
  assert.equal(posts[0].cid, posts[1].cid);
});

test('it tells the same when there is no line at all', () => {
  const { talk } = start();
  talk.say('hello');
  mock.timers.tick(10_100);
  assert.ok(talk.state.entries[0].isLate);
});

test('it waits as long as the server asks', async () => {
  const { talk } = start();
  await online(view(1));
  talk.say('hello');
  latest().say({ t: 'error', code: 'too_many', sentence: 's', cid: latest().of('post')[0].cid, retry_after: 4 });
  mock.timers.tick(3_900);
  assert.equal(latest().of('post').length, 1);
  mock.timers.tick(200);
  assert.equal(latest().of('post').length, 2);
});

test('it keeps a refused message for the person to change, and lets the next one go', async () => {
  const { talk, memory } = start();
  await online(view(1));
  talk.say('bad');
  const { cid } = latest().of('post')[0];
  latest().say({ t: 'error', code: 'cid_conflict', sentence: 's', cid });
  assert.equal(memory.entries()[0].state, 'refused');
  talk.say('good');
  assert.equal(latest().of('post').at(-1).text, 'good');
  talk.again(cid);
  assert.equal(memory.entries().length, 2);
  assert.ok(!memory.entries().some((entry) => entry.cid === cid));
});

test('it leaves another tab time to send its own message, and sends it when that tab is dead', async () => {
  const drawer = new Drawer();
  const { talk, memory } = start(drawer);
  await online(view(1));
  memory.keepToken();
  memory.keep({ cid: 'other', text: 'from there', at: Date.now(), state: 'waiting' });
  talk.stored('aparte:airline:out:other');
  assert.equal(talk.state.entries[0].text, 'from there');
  latest().say(event(2)); // anything that makes us look what waits
  assert.equal(latest().of('post').length, 0);
  mock.timers.tick(5_001);
  assert.equal(latest().of('post')[0].cid, 'other');
});

test('it takes the token of another tab before there is a conversation', async () => {
  const drawer = new Drawer();
  const { talk, memory } = start(drawer);
  await online();
  drawer.setItem('aparte:airline:token', 'T'.repeat(43));
  talk.stored('aparte:airline:token');
  await latest().open();
  assert.equal(sockets.length, 2);
  assert.equal(latest().of('hello')[0].token, 'T'.repeat(43));
  assert.equal(memory.token, 'T'.repeat(43));
});

test('it stores a new token before it says that it has', async () => {
  const { drawer } = start();
  await online(view(1));
  latest().say({ t: 'token', token: 'N'.repeat(43) });
  assert.equal(drawer.getItem('aparte:airline:token'), 'N'.repeat(43));
  assert.equal(latest().of('token_kept').length, 1);
});

test('it resumes from the last number and the epoch', async () => {
  start();
  await online(view(3));
  latest().end(1006);
  mock.timers.tick(2_000);
  await latest().open();
  const [hello] = latest().of('hello');
  assert.deepEqual([hello.conversation, hello.last_seq, hello.epoch], [ROOM, 3, 'e1']);
});

test('it asks once for what is missing, and again when the positions still differ', async () => {
  start();
  await online(view(1));
  latest().say(event(3));
  latest().say(event(4));
  assert.deepEqual(latest().of('resync'), [{ t: 'resync', conversation: ROOM, last_seq: 1 }]);
  latest().say({ t: 'pos', now: 1, positions: { [ROOM]: 4 } });
  assert.equal(latest().of('resync').length, 2);
});

test('it repeats a deed under its id after a lost line, and forgets it when answered', async () => {
  const { talk } = start();
  await online(view(1));
  talk.ask('code', { check: 'k', code: '12345678' });
  const [first] = latest().of('code');
  latest().end(1006);
  mock.timers.tick(2_000);
  await latest().open();
  latest().say(welcome(view(1)));
  assert.deepEqual(latest().of('code'), [first]);
  latest().say({ t: 'ack', cid: first.cid, conversation: ROOM, seq: 0, at: 1 });
  assert.equal(talk.state.asking, null);
  latest().end(1006);
  mock.timers.tick(4_000);
  await latest().open();
  latest().say(welcome(view(1)));
  assert.deepEqual(latest().of('code'), []);
});

test('it marks once per burst, and as read only what is seen', async () => {
  const { talk } = start();
  await online(view(1));
  latest().say(event(2));
  latest().say(event(3));
  mock.timers.tick(400);
  assert.deepEqual(latest().of('mark'), [{ t: 'mark', conversation: ROOM, delivered: 3, read: 0 }]);
  talk.look(true);
  mock.timers.tick(400);
  assert.deepEqual(latest().of('mark').at(-1), { t: 'mark', conversation: ROOM, delivered: 3, read: 3 });
});

test('it says at most every three seconds that the person types', async () => {
  const { talk } = start();
  await online(view(1));
  talk.type();
  talk.type();
  mock.timers.tick(3_000);
  talk.type();
  assert.equal(latest().of('typing').length, 2);
});

test('it lets the other side stop typing by itself', async () => {
  const { talk } = start();
  await online(view(1));
  latest().say({ t: 'typing', conversation: ROOM, who: 'staff' });
  assert.ok(talk.state.isTyping);
  mock.timers.tick(6_000);
  assert.ok(!talk.state.isTyping);
});

test('it does not write its old token over the one that another tab has renewed', async () => {
  const { talk, drawer } = start();
  await online();
  talk.say('one');
  drawer.setItem('aparte:airline:token', 'renewed');
  talk.say('two'); // before the storage event has come
  assert.equal(drawer.getItem('aparte:airline:token'), 'renewed');
});

test('it keeps the order of what waits when the clock is set back', async () => {
  const { talk } = start();
  talk.say('one');
  mock.timers.setTime(1_600_000_000_000);
  talk.say('two');
  assert.deepEqual(talk.state.entries.map((entry) => entry.text), ['one', 'two']);
});
