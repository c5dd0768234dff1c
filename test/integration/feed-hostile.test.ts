import { once } from 'node:events'
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
      'a snapshot of a book',
      { op: 'subscribe', channel: 'book', from: 'snapshot' },
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
