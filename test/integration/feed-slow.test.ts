import t, { type Test } from 'tap'
import { KIND } from '../../src/tick/layout.ts'
import { type DataFrame, FeedClient, type Message } from '../support/feed-client.ts'
import { ServeRig, type TickRow } from '../support/serve-rig.ts'

const BUFFER_BYTES = 64 * 1024
const BATCH = 1024
const BEHIND = 4

async function slowAndQuick(t: Test, subscribe: Record<string, unknown>) {
  const rig = new ServeRig({ settings: { subscriber_buffer_bytes: BUFFER_BYTES } })
  rig.start()
  t.teardown(() => rig.close())
  const slow = await FeedClient.open(rig.feed)
  const quick = await FeedClient.open(rig.feed, 'tickd.v1.fb')
  t.teardown(() => slow.close())
  t.teardown(() => quick.close())
  const stream = await slow.subscribe(subscribe)
  const { slow: _policy, ...same } = subscribe
  t.equal(await quick.subscribe(same), stream)
  return { rig, slow, quick, stream }
}

/**
 * Publishes until the server skips what it has for the slow one, several times in a row: once may
 * be just before the kernel takes some more for it. What it was told and sent then is before the
 * gap in which this ends. Returns how many were published, from `published` on.
 */
async function overwhelm(
  rig: ServeRig,
  quick: FeedClient,
  stream: number,
  row: (value: number) => TickRow,
  published = 0,
): Promise<number> {
  const publish = async () => {
    rig.publish(Array.from({ length: BATCH }, () => row(published++)))
    await quick.until(() => quick.recordCount(stream) === published, 'the quick one')
  }
  let behind = 0
  for (let i = 0; i < 2000 && behind < BEHIND; i++) {
    const before = rig.counters.get('records_skipped')
    await publish()
    behind = rig.counters.get('records_skipped') > before ? behind + 1 : 0
  }
  return published
}

/** The last gap: there are several where the kernel took some more in between. */
function gapTo(client: FeedClient, published: number): Promise<Message> {
  return client.control(({ op, to }) => op === 'gap' && to === published)
}

/** Frames and gaps of a stream, in order, cover 1 … published without a hole. */
function assertAccounted(t: Test, client: FeedClient, stream: number, published: number): number {
  let next = 1
  let skipped = 0
  let isImage = 0
  for (const one of client.all) {
    if (one.stream !== stream) continue
    const message = one as Message
    if (message.op === 'gap') {
      t.equal(message.from, next, 'the gap begins where the frames ended')
      skipped += (message.to as number) - (message.from as number) + 1
      next = (message.to as number) + 1
    } else if (message.op === 'snapshot') isImage += message.count as number
    else if (message.op === undefined) {
      const frame = one as DataFrame
      t.equal(frame.firstSeq, next)
      if (isImage > 0) isImage -= frame.count
      else next += frame.count
    }
  }
  t.equal(next, published + 1, 'nothing is missing at the end')
  return skipped
}

function assertBalanced(t: Test, rig: ServeRig): void {
  const { records_published, records_delivered, records_skipped } = rig.counters.toJSON()
  t.equal(records_published, (records_delivered ?? 0) + (records_skipped ?? 0))
}

t.test('gap: a reader that stalls misses a declared range; the other misses nothing', async (t) => {
  const { rig, slow, quick, stream } = await slowAndQuick(t, { channel: 'trades' })
  const btc = rig.add('BTC-USDT')
  slow.pause()
  const published = await overwhelm(rig, quick, stream, (value) => ({ instrument: btc, value }))
  t.equal(assertAccounted(t, quick, stream, published), 0)
  slow.resume()
  t.match(await gapTo(slow, published), { stream, cause: 'slow' })
  const skipped = assertAccounted(t, slow, stream, published)
  t.equal(rig.counters.get('records_skipped'), skipped, 'the counter is what was declared')
  assertBalanced(t, rig)
  rig.publish([{ instrument: btc, value: 1 }])
  await slow.until(() => slow.frames.at(-1)?.firstSeq === published + 1, 'life after the gap')
})

t.test('gap: a reader that stalls twice is told of both ranges', async (t) => {
  const { rig, slow, quick, stream } = await slowAndQuick(t, { channel: 'trades' })
  const btc = rig.add('BTC-USDT')
  const row = (value: number) => ({ instrument: btc, value })
  slow.pause()
  const first = await overwhelm(rig, quick, stream, row)
  slow.resume()
  await gapTo(slow, first)
  slow.pause()
  const published = await overwhelm(rig, quick, stream, row, first)
  slow.resume()
  await gapTo(slow, published)
  t.equal(rig.counters.get('records_skipped'), assertAccounted(t, slow, stream, published))
  assertBalanced(t, rig)
})

t.test('conflate: a reader that stalls twice has an image behind each gap', async (t) => {
  const of = { channel: 'quotes', slow: 'conflate' }
  const { rig, slow, quick, stream } = await slowAndQuick(t, of)
  const btc = rig.add('BTC-USDT')
  const row = (value: number) => ({ kind: KIND.quote, instrument: btc, value })
  let published = 0
  for (let i = 0; i < 2; i++) {
    slow.pause()
    published = await overwhelm(rig, quick, stream, row, published)
    slow.resume()
    await gapTo(slow, published)
    await slow.until(() => slow.frames.at(-1)?.firstSeq === published + 1, 'the image')
    t.match(slow.frames.at(-1)?.records, [{ bid_price: `${published - 1}` }])
  }
  assertAccounted(t, slow, stream, published)
  assertBalanced(t, rig)
})

t.test('close: a reader that stalls is closed with the last sequence it was sent', async (t) => {
  const { rig, slow, quick, stream } = await slowAndQuick(t, { channel: 'trades', slow: 'close' })
  const btc = rig.add('BTC-USDT')
  slow.pause()
  const published = await overwhelm(rig, quick, stream, (value) => ({ instrument: btc, value }))
  t.equal(assertAccounted(t, quick, stream, published), 0)
  slow.resume()
  await slow.until(() => slow.closed !== undefined, 'the close')
  t.equal(slow.closed?.code, 4008)
  const reason = JSON.parse(slow.closed?.reason ?? '')
  t.equal(reason.stream, stream)
  assertAccounted(t, slow, stream, reason.last_seq)
  t.equal(rig.counters.get('slow_closed'), 1)
  t.equal(rig.counters.get('subscribers'), 1)
  assertBalanced(t, rig)
})

t.test('conflate: a reader that stalls then gets the newest of each instrument', async (t) => {
  const { rig, slow, quick, stream } = await slowAndQuick(t, {
    channel: 'quotes',
    slow: 'conflate',
  })
  const ids = ['A-B', 'C-D', 'E-F'].map((symbol) => rig.add(symbol))
  slow.pause()
  const published = await overwhelm(rig, quick, stream, (value) => ({
    kind: KIND.quote,
    instrument: ids[value % ids.length] as number,
    value,
  }))
  slow.resume()
  const snapshot = await slow.control((m) => m.op === 'snapshot' && m.next_seq === published + 1)
  t.match(snapshot, { stream, count: 3 })
  await slow.until(() => slow.frames.at(-1)?.firstSeq === published + 1, 'the image')
  t.match(await gapTo(slow, published), { stream, cause: 'conflated' })
  assertAccounted(t, slow, stream, published)
  const image = slow.frames.at(-1)?.records ?? []
  t.same(
    image.map((record) => Number(record.bid_price)).sort((a, b) => a - b),
    [published - 3, published - 2, published - 1],
  )
  t.ok(image.every((record) => (record.flags as string[]).includes('snapshot')))
  assertBalanced(t, rig)
})

t.test('unsubscribing while behind still tells what was missed', async (t) => {
  const { rig, slow, quick, stream } = await slowAndQuick(t, { channel: 'trades' })
  const btc = rig.add('BTC-USDT')
  slow.pause()
  const published = await overwhelm(rig, quick, stream, (value) => ({ instrument: btc, value }))
  slow.send({ op: 'unsubscribe', id: 'bye', stream })
  await until(() => rig.counters.get('subscriptions') === 1)
  slow.resume()
  await slow.control((message) => message.id === 'bye')
  assertAccounted(t, slow, stream, published)
})

async function until(test: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!test()) {
    if (performance.now() > deadline) throw new Error('waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
