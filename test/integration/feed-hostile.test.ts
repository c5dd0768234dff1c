import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { FEED_ERRORS, type FeedErrorName } from '../../src/serve/feed/errors.ts'
import { FeedClient } from '../support/feed-client.ts'
import { type RigOptions, ServeRig } from '../support/serve-rig.ts'

async function setUp(t: Test, options: RigOptions = {}) {
  const rig = new ServeRig(options)
  rig.start()
  t.teardown(() => rig.close())
  const client = await FeedClient.open(rig.feed)
  t.teardown(() => client.close())
  return { rig, client }
}

/** Nothing is left of anybody: neither subscribers nor connections. */
async function untilNobody(rig: ServeRig): Promise<void> {
  const deadline = performance.now() + 10_000
  const left = () => rig.counters.get('subscribers') + rig.counters.get('connections')
  while (left() > 0) {
    if (performance.now() > deadline) throw new Error(`${left()} are left`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The next error after those that are there already. */
async function nextError(client: FeedClient, message: object | string | Buffer) {
  const errors = () => client.controls.filter(({ op }) => op === 'error')
  const before = errors().length
  if (Buffer.isBuffer(message)) client.ws.send(message)
  else client.send(message)
  await client.until(() => errors().length > before, 'an error')
  return errors()[before]
}

const REFUSED: readonly [what: string, message: object | string | Buffer, error: FeedErrorName][] =
  [
    ['text that is not JSON', '{"op":', 'bad_json'],
    ['an empty message', '', 'bad_json'],
    ['a JSON array', '[]', 'bad_message'],
    ['an object without op', {}, 'bad_message'],
    ['an unknown op', { op: 'dance' }, 'unknown_op'],
    ['an inherited name as op', { op: 'constructor' }, 'unknown_op'],
    ['an inherited name as channel', { op: 'subscribe', channel: 'toString' }, 'unknown_channel'],
    ['a misspelt field', { op: 'subscribe', channel: 'trades', symbol: 'X' }, 'bad_field'],
    ['an id of the wrong type', { op: 'ping', id: {} }, 'bad_field'],
    ['no channel', { op: 'subscribe' }, 'unknown_channel'],
    ['a channel that is to come', { op: 'subscribe', channel: 'bars.1m' }, 'unknown_channel'],
    ['no symbols', { op: 'subscribe', channel: 'trades', symbols: [] }, 'bad_field'],
    ['a symbol that is no text', { op: 'subscribe', channel: 'trades', symbols: [1] }, 'bad_field'],
    [
      'too many globs',
      {
        op: 'subscribe',
        channel: 'trades',
        symbols: Array.from({ length: 17 }, (_, i) => `${i}*`),
      },
      'bad_field',
    ],
    [
      'a start from a sequence',
      { op: 'subscribe', channel: 'trades', from: { epoch: 1, seq: 5 } },
      'from_unavailable',
    ],
    [
      'a snapshot where there is none',
      { op: 'subscribe', channel: 'test', from: 'snapshot' },
      'from_unavailable',
    ],
    [
      'conflation of trades',
      { op: 'subscribe', channel: 'trades', slow: 'conflate' },
      'slow_unavailable',
    ],
    ['an unknown policy', { op: 'subscribe', channel: 'trades', slow: 'fast' }, 'bad_field'],
    ['a stream that is not ours', { op: 'unsubscribe', stream: 77 }, 'unknown_stream'],
    ['a stream that is no number', { op: 'unsubscribe', stream: '1' }, 'bad_field'],
    ['binary', Buffer.from('{"op":"ping"}'), 'binary_message'],
  ]

t.test('what cannot be understood is refused by number, and the connection lives', async (t) => {
  const { rig, client } = await setUp(t)
  for (const [what, message, error] of REFUSED) {
    const answer = await nextError(client, message)
    t.match(answer, { code: FEED_ERRORS[error].code, name: error, msg: /./ }, what)
  }
  t.match(await client.ask({ op: 'ping', id: 9 }), { op: 'pong', id: 9, server_time: /Z$/ })
  t.equal(rig.counters.get('protocol_errors'), REFUSED.length)
  t.equal(rig.counters.get('subscriptions'), 0)
})

t.test('an error echoes the id of the message that it refuses', async (t) => {
  const { client } = await setUp(t)
  t.match(await client.ask({ op: 'subscribe', id: 'x1', channel: 'nope' }), {
    op: 'error',
    id: 'x1',
  })
})

t.test('a repeated subscription and one too many are refused', async (t) => {
  const { client } = await setUp(t, { settings: { subscriptions_max: 2 } })
  await client.subscribe({ channel: 'trades', symbols: ['A', 'B'] })
  t.match(await client.ask({ op: 'subscribe', channel: 'trades', symbols: ['B', 'A', 'A'] }), {
    name: 'already_subscribed',
  })
  await client.subscribe({ channel: 'quotes' })
  t.match(await client.ask({ op: 'subscribe', channel: 'book' }), { name: 'subscription_limit' })
})

t.test('a snapshot that exceeds the buffer is refused before anything is sent', async (t) => {
  const { rig, client } = await setUp(t, { settings: { subscriber_buffer_bytes: 4096 } })
  const rows = Array.from({ length: 40 }, (_, i) => ({ instrument: rig.add(`S-${i}`), value: i }))
  rig.publish(rows)
  t.match(await client.ask({ op: 'subscribe', channel: 'trades', from: 'snapshot' }), {
    name: 'image_too_large',
  })
  await client.subscribe({ channel: 'trades' })
})

t.test('too many messages at once are told to wait', async (t) => {
  const { client } = await setUp(t)
  for (let i = 0; i < 530; i++) client.send({ op: 'ping' })
  const error = await client.op('error')
  t.match(error, { name: 'rate_limit' })
  t.ok((error.retry_after_ms as number) > 0)
})

t.test('a client that is refused over and over is closed', async (t) => {
  const { rig, client } = await setUp(t)
  for (let i = 0; i < 100; i++) client.send('nonsense')
  await client.until(() => client.closed !== undefined, 'the close')
  t.equal(client.closed?.code, 4000)
  t.equal(rig.counters.get('subscribers'), 0)
})

t.test('a message beyond the limit closes the socket, and only that one', async (t) => {
  const { rig, client } = await setUp(t)
  const other = await FeedClient.open(rig.feed)
  t.teardown(() => other.close())
  client.send('x'.repeat(70_000))
  await client.until(() => client.closed !== undefined, 'the close')
  t.match(await other.ask({ op: 'ping' }), { op: 'pong' })
})

t.test('a message that is too long is answered with 1009, whole or in fragments', async (t) => {
  const { rig, client } = await setUp(t)
  client.send('x'.repeat(70_000))
  await client.until(() => client.closed !== undefined, 'the close')
  t.equal(client.closed?.code, 1009)
  const second = await FeedClient.open(rig.feed)
  for (let i = 0; i < 70; i++) second.ws.send('x'.repeat(1000), { fin: i === 69 })
  await second.until(() => second.closed !== undefined, 'the close')
  t.equal(second.closed?.code, 1009)
  const third = await FeedClient.open(rig.feed)
  third.send('x'.repeat(400_000))
  await third.until(() => third.closed !== undefined, 'the close')
  t.equal(third.closed?.code, 1006, 'what is not even received has no answer')
  await untilNobody(rig)
})

t.test('fragments of a message make one message', async (t) => {
  const { client } = await setUp(t)
  const text = '{"op":"ping","id":"fragmented"}'
  for (let i = 0; i < text.length; i++) client.ws.send(text[i], { fin: i === text.length - 1 })
  t.match(await client.control(({ id }) => id === 'fragmented'), { op: 'pong' })
})

t.test('text that is not UTF-8 closes the socket', async (t) => {
  const { rig, client } = await setUp(t)
  client.ws.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false })
  await client.until(() => client.closed !== undefined, 'the close')
  t.ok([1006, 1007].includes(client.closed?.code ?? 0), String(client.closed?.code))
  await untilNobody(rig)
})

t.test('JSON as deep as it can be is one refused message', async (t) => {
  const { client } = await setUp(t)
  const depth = 32_000
  t.match(await nextError(client, `${'['.repeat(depth)}${']'.repeat(depth)}`), {
    name: 'bad_message',
  })
  t.match(await nextError(client, '{"op":'.repeat(9000)), { name: 'bad_json' })
  const deep = `{"op":"subscribe","channel":${'['.repeat(30_000)}${']'.repeat(30_000)}}`
  t.match(await nextError(client, deep), { name: 'unknown_channel' })
  t.match(await client.ask({ op: 'ping' }), { op: 'pong' })
})

t.test('subscription bombs, floods and half-open sockets leave nothing behind', async (t) => {
  const { rig, client } = await setUp(t)
  const healthy = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  const instrument = rig.add('BTC-USDT')
  const bombs = await Promise.all(Array.from({ length: 8 }, () => FeedClient.open(rig.feed)))
  for (const [n, bomb] of bombs.entries()) {
    for (let i = 0; i < 300; i++) {
      const symbols = Array.from({ length: 50 }, (_, k) => `S${n}-${i}-${k}`)
      bomb.send({ op: 'subscribe', channel: 'trades', symbols })
    }
  }
  // Half-open: a handshake that never ends, and a socket whose client is gone without a word.
  const { port } = new URL(rig.http)
  const halves = Array.from({ length: 8 }, () => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /v1/feed HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n')
    return socket
  })
  const seen = () => client.recordCount(healthy)
  for (let i = 1; i <= 20; i++) {
    rig.publish([{ instrument, value: i }])
    await client.until(() => seen() === i, `record ${i}`)
  }
  t.equal(client.controls.filter(({ op }) => op === 'gap').length, 0, 'the healthy one is whole')
  t.ok(rig.counters.get('subscriptions') <= 8 * 16 + 1, 'subscriptions are bounded')
  for (const bomb of bombs) bomb.ws.terminate()
  for (const socket of halves) socket.destroy()
  await client.until(() => rig.counters.get('subscribers') === 1, 'the end of the bombs')
  await client.until(() => rig.counters.get('connections') === 1, 'the end of the sockets')
  t.equal(rig.counters.get('subscriptions'), 1)
  client.close()
  await untilNobody(rig)
  t.equal(rig.counters.get('subscriptions'), 0)
})

t.test('a subscriber beyond the limit is refused before the upgrade', async (t) => {
  const { rig } = await setUp(t, { settings: { subscribers_max: 1 } })
  const late = new WebSocket(rig.feed)
  late.on('error', () => {})
  const [, response] = await once(late, 'unexpected-response')
  t.equal(response.statusCode, 503)
  late.terminate()
})

t.test('a stop says goodbye to subscribers, and takes no new ones', async (t) => {
  const { rig, client } = await setUp(t)
  await client.subscribe({ channel: 'trades' })
  const btc = rig.add('BTC-USDT')
  rig.publish([{ instrument: btc, value: 1 }])
  const deadline = performance.now() + 10_000
  while (!rig.agent.drain() && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  await client.until(() => client.closed !== undefined, 'the close')
  t.equal(client.closed?.code, 1001)
  t.equal(client.frames.length, 1, 'what was published before is sent before')
  await t.rejects(fetch(`${rig.http}/healthz`))
})

t.test('an address that is taken is an error that says what to do', async (t) => {
  const { rig } = await setUp(t)
  const listen = { host: '127.0.0.1', port: rig.agent.port }
  const second = new ServeRig({ settings: { listen } })
  t.throws(() => second.agent.onStart(), { code: 'ADDRESS_IN_USE', message: /serve\.listen\.port/ })
  await second.agent.onClose()
})
