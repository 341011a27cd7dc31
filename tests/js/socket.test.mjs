import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { backoff, Link, MAX_DELAY_MS, place } from '../../static/shared/socket.js';
import { install, latest, sockets, welcome } from './scripted.mjs';

let link;
const states = [];
const heard = [];

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  install();
  states.length = heard.length = 0;
});
afterEach(() => {
  link?.stop();
  mock.timers.reset();
});

function start(more = {}) {
  link = new Link({ url: 'ws://x/', hello: () => ({ t: 'hello' }), onFrame: (frame) => heard.push(frame.t), onState: (state, code) => states.push([state, code]), ...more });
  link.start();
  return link;
}

test('it says hello first and is online only when welcomed', async () => {
  start();
  await latest().open();
  assert.deepEqual(latest().sent, [{ t: 'hello' }]);
  assert.ok(!link.send({ t: 'ping' }));
  latest().say(welcome());
  assert.ok(link.send({ t: 'ping' }));
  assert.deepEqual(states, [['connecting', 0], ['online', 0]]);
});

test('it spreads its tries anywhere below a ceiling that doubles to thirty seconds', () => {
  assert.equal(backoff(0, 0), 0);
  assert.equal(backoff(0, 0.999), 999);
  assert.equal(backoff(3, 0.5), 4_000);
  assert.equal(backoff(50, 0.9999999), MAX_DELAY_MS - 1);
});

for (const code of [1001, 1006, 1013, 4401, 4429]) {
  test(`it comes back after ${code}`, async () => {
    start();
    await latest().open();
    latest().end(code);
    assert.deepEqual(states.at(-1), ['waiting', code]);
    mock.timers.tick(1_000);
    assert.equal(sockets.length, 2);
  });
}

for (const code of [4400, 4403]) {
  test(`it stays away after ${code}`, () => {
    start();
    latest().end(code);
    assert.deepEqual(states.at(-1), ['refused', code]);
    mock.timers.tick(60_000);
    assert.equal(sockets.length, 1);
  });
}

test('it takes a hello that cannot be made for a failed try', async () => {
  let isBroken = true;
  start({
    hello: async () => {
      if (isBroken) throw new Error('no ticket');
      return { t: 'hello' };
    },
  });
  await latest().open();
  await new Promise(setImmediate);
  assert.deepEqual(states.at(-1), ['waiting', 0]);
  isBroken = false;
  mock.timers.tick(1_000);
  await latest().open();
  await new Promise(setImmediate);
  assert.deepEqual(latest().sent, [{ t: 'hello' }]);
});

test('it leaves a line that is silent for forty seconds', async () => {
  start();
  await latest().open();
  latest().say(welcome());
  mock.timers.tick(35_000);
  assert.equal(sockets.length, 1);
  mock.timers.tick(10_000);
  assert.ok(sockets[0].isClosedByPage);
  assert.deepEqual(states.at(-1), ['waiting', 1006]);
  mock.timers.tick(1_000);
  assert.equal(sockets.length, 2);
});

test('it stays as long as something is heard', async () => {
  start();
  await latest().open();
  latest().say(welcome());
  for (let turn = 0; turn < 10; turn += 1) {
    mock.timers.tick(15_000);
    latest().say({ t: 'pos', now: 1 });
  }
  assert.equal(sockets.length, 1);
});

test('it asks on waking whether the line still lives', async () => {
  start();
  await latest().open();
  latest().say(welcome());
  mock.timers.tick(1_000);
  link.wake();
  assert.deepEqual(latest().of('ping').length, 1);
  mock.timers.tick(5_000);
  assert.equal(sockets.length, 2);
});

test('it is cut at once when the browser says that the network has gone, and goes on trying', async () => {
  start();
  await latest().open();
  latest().say(welcome());
  link.cut();
  assert.deepEqual(states.at(-1), ['waiting', 1006]);
  assert.ok(sockets[0].isClosedByPage);
  mock.timers.tick(1_000);
  assert.equal(sockets.length, 2);
  link.stop();
  link.cut();
  assert.equal(link.state, 'stopped');
});

test('it does not sit out a long delay when the network is back', () => {
  start();
  for (let tries = 0; tries < 8; tries += 1) {
    latest().end(1006);
    mock.timers.tick(MAX_DELAY_MS);
  }
  latest().end(1006);
  const count = sockets.length;
  link.wake();
  mock.timers.tick(2_000);
  assert.equal(sockets.length, count + 1);
});

test('it is cut off at once when it had been online', async () => {
  start();
  await latest().open();
  latest().say(welcome());
  for (let times = 0; times < 2; times += 1) {
    latest().end(1006);
    assert.deepEqual(states.at(-1), ['waiting', 1006]);
    mock.timers.tick(30_000);
  }
});

/** Runs with a known answer of chance. */
async function byChance(answer, work) {
  const { random } = Math;
  Math.random = () => answer;
  try {
    await work();
  } finally {
    Math.random = random;
  }
}

test('it moves on at a moment of its own when a server drains, and is served until then', () => byChance(0.7, async () => {
  start();
  await latest().open();
  latest().say(welcome());
  latest().say({ t: 'drain', after: 10 });
  mock.timers.tick(6_900);
  assert.ok(link.send({ t: 'ping' }));
  assert.equal(sockets.length, 1);
  mock.timers.tick(200);
  assert.equal(sockets.length, 2);
  assert.ok(sockets[0].isClosedByPage);
}));

test('it spreads every further try as a draining server asked, until it is welcomed', () => byChance(0.9, async () => {
  start();
  await latest().open();
  latest().say(welcome());
  latest().say({ t: 'drain', after: 10 });
  latest().end(1001); // sent away before its moment
  for (let tries = 1; tries < 4; tries += 1) {
    mock.timers.tick(8_900);
    assert.equal(sockets.length, tries);
    mock.timers.tick(200);
    assert.equal(sockets.length, tries + 1);
    latest().end(1006); // nobody there yet
  }
  mock.timers.tick(9_100);
  await latest().open();
  latest().say(welcome());
  latest().end(1006);
  mock.timers.tick(900); // an end like any other
  assert.equal(sockets.length, 6);
}));

test('it knocks ever more slowly at a server that said too little, but not as at one that is lost', () => byChance(0.9, async () => {
  start();
  await latest().open();
  latest().say(welcome());
  latest().say({ t: 'drain', after: 1 });
  latest().end(1001);
  for (const seconds of [0.9, 1.8, 3.6, 7.2, 9.0, 9.0]) {
    const count = sockets.length;
    mock.timers.tick(1000 * seconds - 1);
    assert.equal(sockets.length, count);
    mock.timers.tick(2);
    assert.equal(sockets.length, count + 1);
    latest().end(1006);
  }
}));

test('it hears nothing more from a socket that it has left', async () => {
  start();
  await latest().open();
  const [old] = sockets;
  link.restart();
  old.say(welcome());
  old.end(4403);
  assert.deepEqual(heard, []);
  assert.equal(link.state, 'connecting');
});

test('it survives what is not a frame', async () => {
  start();
  await latest().open();
  latest().onmessage({ data: '{' });
  latest().say(welcome());
  assert.equal(link.state, 'online');
});

test('it places a number by the client rule', () => {
  assert.equal(place(3, 4), 'apply');
  assert.equal(place(3, 3), 'drop');
  assert.equal(place(3, 1), 'drop');
  assert.equal(place(3, 5), 'gap');
});
