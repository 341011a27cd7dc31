// When a link takes requests instead of a WebSocket, and when it goes back.
import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';
import '../../static/shared/fallback.js'; // it is fetched when it is needed, which the tests' clock cannot wait for
import { Link } from '../../static/shared/socket.js';
import { body, requests, turn } from './requested.mjs';
import { latest, sockets, welcome } from './scripted.mjs';

let link;
const states = [];

function start() {
  states.length = 0;
  link = new Link({ url: 'ws://x/ws/visitor', hello: () => ({ t: 'hello' }), onFrame: () => {}, onState: (state) => states.push(state) });
  link.start();
}

/** So many WebSockets that close before they are open. */
async function shut(times) {
  for (let count = 0; count < times; count += 1) {
    latest().end(1006);
    await turn();
    mock.timers.tick(30_000);
    await turn();
  }
}

/** So much time, in steps. */
async function pass(seconds) {
  for (let left = seconds; left > 0; left -= 5) {
    mock.timers.tick(5_000);
    await turn();
  }
}

/** What asked whether the server can be reached. */
const asked = () => requests.filter((one) => one.url.endsWith('/readyz'));
const streams = () => requests.filter((one) => one.url.endsWith('/sse/visitor'));

async function shutAndReached() {
  start();
  await shut(2);
  latest().end(1006);
  await turn();
  asked().at(-1).answer(200);
  await turn();
  mock.timers.tick(30_000);
  await turn();
}

afterEach(() => link?.stop());

test('it turns to requests after three WebSockets that closed before they were open', async () => {
  await shutAndReached();
  assert.deepEqual([sockets.length, asked().length, streams().length], [3, 1, 1]);
  assert.deepEqual(states, ['connecting'], 'still seeking, and not cut off');
  const server = body();
  streams()[0].answer(200, server.stream);
  server.say(`event: connection\ndata: secret\n\ndata: ${JSON.stringify(welcome())}\n\n`);
  await turn();
  assert.equal(states.at(-1), 'online');
  assert.ok(link.send({ t: 'typing' }));
  await turn();
  assert.equal(requests.at(-1).body, '{"t":"typing"}');
});

test('it is cut off when there is no other way', async () => {
  start();
  await shut(2);
  latest().end(1006);
  await turn();
  assert.deepEqual(states, ['connecting']);
  asked()[0].fail();
  await turn();
  mock.timers.tick(30_000);
  await shut(2);
  assert.deepEqual(states, ['connecting', 'waiting', 'connecting', 'waiting', 'connecting']);
});

test('it stays with WebSockets while the server cannot be reached at all', async () => {
  start();
  await shut(2);
  latest().end(1006);
  await turn();
  asked()[0].fail();
  await turn();
  mock.timers.tick(30_000);
  await turn();
  assert.deepEqual([sockets.length, streams().length], [4, 0]);
  await shut(2);
  latest().end(1006);
  await turn();
  assert.equal(asked().length, 2, 'and asks again after three more');
});

test('it does not turn to a server that is not well', async () => {
  start();
  await shut(2);
  latest().end(1006);
  await turn();
  asked()[0].answer(503);
  await turn();
  mock.timers.tick(30_000);
  await turn();
  assert.deepEqual([sockets.length, streams().length], [4, 0]);
});

test('it does not take a line for shut that was open', async () => {
  start();
  for (let times = 0; times < 6; times += 1) {
    await latest().open();
    latest().end(1006);
    await turn();
    mock.timers.tick(30_000);
    await turn();
  }
  await shut(2);
  await latest().open();
  latest().end(1006);
  await turn();
  assert.deepEqual(asked(), []);
});

test('it takes a handshake that nobody answers for shut', async () => {
  start();
  await pass(75);
  assert.deepEqual([sockets.length >= 3, asked().length], [true, 1]);
});

test('it counts no try while it waits for the next', async () => {
  const { random } = Math;
  Math.random = () => 0.999;
  try {
    start();
    link.tries = 6; // as after a while: the delay is longer than a handshake may take
    latest().end(1006);
    await turn();
    mock.timers.tick(29_000);
    await turn();
    assert.deepEqual([sockets.length, link.shut], [1, 1]);
    mock.timers.tick(1_000);
    assert.equal(sockets.length, 2);
  } finally {
    Math.random = random;
  }
});

test('it is cut off when handshakes are swallowed and there is no other way', async () => {
  start();
  await pass(75);
  assert.deepEqual(states, ['connecting']);
  asked()[0].fail();
  await pass(45);
  assert.ok(states.includes('waiting'));
});

test('it tries a WebSocket again when it connects anew minutes later', async () => {
  await shutAndReached();
  const server = body();
  streams()[0].answer(200, server.stream);
  server.say(`event: connection\ndata: secret\n\ndata: ${JSON.stringify(welcome())}\n\n`);
  await turn();
  for (let seconds = 0; seconds < 290; seconds += 15) {
    mock.timers.tick(15_000);
    server.say('data: {"t":"pos"}\n\n');
    await turn();
  }
  assert.deepEqual([sockets.length, link.state], [3, 'online'], 'not while the stream lives');
  server.end();
  await turn();
  mock.timers.tick(30_000);
  await turn();
  assert.equal(sockets.length, 4);
  await latest().open();
  latest().say(welcome());
  assert.equal(link.state, 'online');
});

test('it goes back to WebSockets when requests are good for nothing either', async () => {
  await shutAndReached();
  for (let times = 0; times < 3; times += 1) {
    assert.equal(sockets.length, 3);
    streams().at(-1).answer(502);
    await turn();
    mock.timers.tick(30_000);
    await turn();
  }
  assert.equal(states.filter((state) => state === 'waiting').length, 3, 'no way is left');
  assert.equal(sockets.length, 4);
});

test('it is not the end of an earlier turn that ends a later one', async () => {
  await shutAndReached();
  const refused = async (times) => {
    for (let count = 0; count < times; count += 1) {
      streams().at(-1).answer(502);
      await turn();
      mock.timers.tick(30_000);
      await turn();
    }
  };
  await refused(3);
  assert.equal(link.Around, undefined);
  await shut(2);
  latest().end(1006);
  await turn();
  asked().at(-1).answer(200);
  await turn();
  const later = link.Around;
  assert.ok(later);
  let seconds = 0;
  for (; seconds < 295; seconds += 5) {
    mock.timers.tick(5_000);
    assert.equal(link.Around, later, `after ${seconds} s`);
  }
  mock.timers.tick(10_000);
  assert.equal(link.Around, undefined);
});
