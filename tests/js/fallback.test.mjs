// What stands for a WebSocket: the server's part, answers of `fetch` included, is played by the test.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { Stream } from '../../static/shared/fallback.js';
import { Stream as Packed } from '../../widget/app/fallback.min.js';
import { body, requests, turn } from './requested.mjs';

const PING = '{"t":"ping"}';
const heard = [];
const closed = [];

beforeEach(() => {
  heard.length = closed.length = 0;
});

/** A stream that has said hello and knows its token. */
async function opened(Kind = Stream) {
  const line = new Kind('wss://chat.example/ws/visitor');
  line.onmessage = ({ data }) => heard.push(data);
  line.onclose = ({ code }) => closed.push(code);
  line.onopen = () => line.send('{"t":"hello"}');
  await turn();
  const server = body();
  requests[0].answer(200, server.stream);
  requests[0].signal.addEventListener('abort', () => server.cut());
  server.say('event: connection\ndata: secret\n\n');
  await turn();
  return { line, server };
}

test('it opens with the hello, and sends frames with the token and their numbers', async () => {
  const { line } = await opened();
  assert.equal(requests[0].url, 'https://chat.example/sse/visitor');
  assert.deepEqual([requests[0].method, requests[0].body, requests[0].headers], ['POST', '{"t":"hello"}', undefined]);
  line.send('{"a":1}');
  await turn();
  assert.equal(requests[1].url, 'https://chat.example/sse/visitor/frames');
  assert.deepEqual([requests[1].body, requests[1].headers], ['{"a":1}', { 'aparte-connection': 'secret', 'aparte-first': '1' }]);
  for (const data of ['{"a":2}', '{"a":3}']) line.send(data);
  await turn();
  assert.equal(requests.length, 2, 'one request at a time');
  requests[1].answer(204);
  await turn();
  assert.deepEqual([requests[2].body, requests[2].headers['aparte-first']], ['{"a":2}\n{"a":3}', '2']);
  requests[2].answer(204);
  await turn();
  line.send('{"a":4}');
  await turn();
  assert.equal(requests[3].headers['aparte-first'], '4');
  assert.ok(requests.every((one) => !one.url.includes('secret')));
});

test('it waits for the token before it sends', async () => {
  const line = new Stream('ws://x/ws/agent');
  line.onopen = () => line.send('{"t":"hello"}');
  await turn();
  line.send(PING);
  const server = body();
  requests[0].answer(200, server.stream);
  await turn();
  assert.equal(requests.length, 1);
  server.say('event: connection\ndata: secret\n\n');
  await turn();
  assert.equal(requests[1].body, PING);
});

test('it puts no more into one request than the server takes', async () => {
  const { line } = await opened();
  line.send(PING);
  const long = JSON.stringify({ text: '€'.repeat(8_000) });
  for (let count = 0; count < 5; count += 1) line.send(long);
  await turn();
  requests[1].answer(204);
  await turn();
  assert.equal(requests[2].body, `${long}\n${long}`);
  assert.ok(new TextEncoder().encode(requests[2].body).length <= 65_536);
  line.close();
});

test('it puts no more frames into one request than a server with the smallest limit takes', async () => {
  const { line } = await opened();
  line.send(PING);
  for (let count = 0; count < 25; count += 1) line.send(PING);
  await turn();
  for (let number = 1; number < 4; number += 1) {
    requests[number].answer(204);
    await turn();
  }
  assert.deepEqual(requests.slice(1).map((one) => one.body.split('\n').length), [1, 10, 10, 5]);
  line.close();
});

for (const how of ['lost', 503, 502]) {
  test(`it makes a request again, with the same frames and numbers, when it was ${how}`, async () => {
    const { line } = await opened();
    line.send(PING);
    await turn();
    how === 'lost' ? requests[1].fail() : requests[1].answer(how);
    line.send('{"t":"later"}');
    await turn();
    mock.timers.tick(1_000);
    await turn();
    assert.deepEqual([requests[2].body, requests[2].headers['aparte-first']], [`${PING}\n{"t":"later"}`, '1']);
    requests[2].answer(204);
    await turn();
    assert.equal(requests.length, 3);
    assert.deepEqual(closed, []);
  });
}

test('it gives the connection up after three requests in vain', async () => {
  const { line } = await opened();
  line.send(PING);
  for (let tries = 1; tries <= 3; tries += 1) {
    await turn();
    requests[tries].fail();
    await turn();
    mock.timers.tick(1_000);
  }
  await turn();
  assert.deepEqual(closed, [1006]);
  assert.equal(requests.length, 4);
  assert.ok(requests[0].signal.aborted, 'and lets go of the stream');
});

test('it waits as long as the server asks for it, and no other refusal', async () => {
  const { line } = await opened();
  line.send(PING);
  for (let times = 1; times <= 5; times += 1) {
    await turn();
    requests[times].answer(429);
    await turn();
    mock.timers.tick(1_000);
  }
  await turn();
  assert.deepEqual(closed, []);
  requests[6].answer(404);
  await turn();
  assert.deepEqual(closed, [1006]);
});

for (const [what, Kind] of [['source', Stream], ['packed file', Packed]]) {
  test(`it hears frames however they are cut, and no comment: the ${what}`, () => heardWhole(Kind));
}

async function heardWhole(Kind) {
  const { server } = await opened(Kind);
  const bytes = new TextEncoder().encode(':\n\ndata: {"text":"Où ça ? 🙂"}\n\n:\n\ndata: {"t":"pos"}\n\n');
  for (const byte of bytes) server.bytes(new Uint8Array([byte]));
  await turn();
  assert.deepEqual(heard, ['{"text":"Où ça ? 🙂"}', '{"t":"pos"}']);
}

test('it tells the close code after the frames before it', async () => {
  const { line, server } = await opened();
  server.say('data: {"t":"drain"}\n\nevent: close\ndata: 1001\n\n');
  await turn();
  assert.deepEqual([heard, closed, line.readyState], [['{"t":"drain"}'], [1001], 3]);
  line.send(PING);
  await turn();
  assert.equal(requests.length, 1);
});

for (const how of ['end', 'cut']) {
  test(`it takes a stream's ${how} without a code for a lost line`, async () => {
    const { server } = await opened();
    server[how]();
    await turn();
    assert.deepEqual(closed, [1006]);
  });
}

for (const [status, code] of [[401, 4401], [403, 1006], [429, 4429], [502, 1006], [503, 1013]]) {
  test(`it tells ${code} when the stream is refused with ${status}`, async () => {
    const line = new Stream('wss://x/ws/agent');
    line.onopen = () => line.send('{"t":"hello"}');
    line.onclose = (event) => closed.push(event.code);
    await turn();
    requests[0].answer(status);
    await turn();
    assert.deepEqual(closed, [code]);
  });
}

test('it tells nothing more when the page has closed it', async () => {
  const { line } = await opened();
  line.close();
  await turn();
  assert.ok(requests[0].signal.aborted);
  assert.deepEqual([heard, closed], [[], []]);
});

test('it speaks now and then while it hears, so that the server knows of it', async () => {
  const { server } = await opened();
  for (let turns = 0; turns < 3; turns += 1) {
    mock.timers.tick(15_000);
    server.say(':\n\n');
    await turn();
  }
  assert.deepEqual(requests.slice(1).map((one) => one.body), [PING]);
});
