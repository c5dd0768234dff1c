// A live subscription is given other symbols: nothing is missing around the change, nothing comes
// twice, and both of its streams can be gone back to.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { KIND, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { type DataFrame, FeedClient, type Message } from '../support/feed-client.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import type { RigOptions } from '../support/serve-rig.ts'

const SEED = Number(process.env.TICKD_SEED ?? Date.now() % 1e6)

async function setUp(t: Test, options: RigOptions = {}) {
  const state = mkdtempSync(join(tmpdir(), 'tickd-update-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  const rig = new JournalledRig(state, options)
  await rig.start()
  t.teardown(() => rig.kill())
  return { rig, client: await clientFor(t, rig) }
}

async function clientFor(t: Test, rig: JournalledRig, protocol = 'tickd.v1.fb') {
  const client = await FeedClient.open(rig.feed, protocol)
  t.teardown(() => client.close())
  return client
}

function valuesOf({ batch, records }: DataFrame): number[] {
  if (batch === undefined) return records.map(({ price }) => Number(price))
  return Array.from({ length: batch.count }, (_, i) => {
    return readNumber(batch.words, i * TICK_WORDS + WORD.p0) / 1e9
  })
}

function checkBalance(t: Test, { serve }: JournalledRig): void {
  const { counters } = serve
  const sum = counters.get('records_delivered') + counters.get('records_skipped')
  t.equal(counters.get('records_published'), sum)
  t.equal(counters.get('subscriptions_unbalanced'), 0)
}

const isFrame = (each: Message | DataFrame): each is DataFrame => 'firstSeq' in each
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
const SYMBOLS = ['BTC-USDT', 'ETH-USDT', 'SOL-USDT']
/** Value n is a trade of symbol n mod 3. */
const symbolOf = (value: number) => SYMBOLS[value % 3] as string
const within = (symbols: readonly string[]) => (value: number) => symbols.includes(symbolOf(value))

function publish(rig: JournalledRig, from: number, count: number): boolean {
  const rows = range(from, count).map((value) => ({
    instrument: rig.ids[value % 3] as number,
    value,
  }))
  return rig.publish(rows)
}

t.test(`updates under load: each record is on its side of the point (seed ${SEED})`, async (t) => {
  const { rig, client } = await setUp(t, { settings: { frame_ticks: 16, flush_ms: 5 } })
  let state = SEED
  const random = (n: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % n
  }
  // Somebody has each set already: it is amid a frame when another one comes.
  const others = await clientFor(t, rig)
  for (let set = 1; set < 8; set++) {
    const symbols = SYMBOLS.filter((_, i) => (set & (1 << i)) !== 0)
    await others.subscribe({ channel: 'trades', symbols })
  }
  let stream = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  const sets = [['BTC-USDT']]
  let next = 1
  while (sets.length < 30) {
    const burst = 1 + random(40)
    if (publish(rig, next, burst)) next += burst
    const before = sets.at(-1) as string[]
    const after = SYMBOLS.filter(() => random(2) === 0)
    if (after.length === 0) continue
    const add = after.filter((symbol) => !before.includes(symbol))
    const remove = before.filter((symbol) => !after.includes(symbol))
    if (add.length + remove.length === 0) continue
    const id = sets.length
    client.send({
      op: 'update',
      id,
      stream,
      ...(add.length > 0 ? { add } : {}),
      ...(remove.length > 0 ? { remove } : {}),
    })
    const isAnswered = () => client.controls.some((message) => message.id === id)
    while (!isAnswered()) {
      if (publish(rig, next, 7)) next += 7
      await new Promise((resolve) => setImmediate(resolve))
    }
    const ack = await client.control((message) => message.id === id)
    t.match(ack, { op: 'ack', epoch: rig.epoch, was: { stream } }, `update ${id}`)
    stream = ack.stream as number
    sets.push(after)
  }
  if (publish(rig, next, 30)) next += 30
  const total = range(1, next - 1)
  await client.until(() => client.frames.at(-1)?.stream === stream, 'the last stream')
  const last = total.filter(within(sets.at(-1) as string[])).at(-1)
  await client.until(() => client.frames.flatMap(valuesOf).at(-1) === last, 'the last record')

  // Between two acks all frames are of one stream; the points are found by what the acks say.
  const countBefore = (point: number, symbols: readonly string[]) => {
    return total.filter((value) => value < point && within(symbols)(value)).length
  }
  let from = 1
  let part: DataFrame[] = []
  let index = 0
  const check = (point: number) => {
    const symbols = sets[index] as string[]
    const wanted = range(from, point - from).filter(within(symbols))
    t.same(part.flatMap(valuesOf), wanted, `${index}: from ${from} to before ${point}`)
    for (const { firstSeq, ...frame } of part) {
      const first = valuesOf({ firstSeq, ...frame })[0] as number
      if (firstSeq !== countBefore(first, symbols) + 1) t.fail('the sequence that it always had')
    }
  }
  for (const each of client.all) {
    if (isFrame(each)) part.push(each)
    else if (typeof each.id === 'number') {
      const was = each.was as { next_seq: number }
      const point = total.find((value) => {
        const isOld = countBefore(value, sets[index] as string[]) + 1 === was.next_seq
        const isNew = countBefore(value, sets[index + 1] as string[]) + 1 === each.from_seq
        return value >= from && isOld && isNew
      })
      t.ok(point !== undefined, 'there is a point where both sequences are what the ack says')
      check(point ?? from)
      from = point ?? from
      part = []
      index++
    }
  }
  check(next)

  await rig.settled()
  const again = await clientFor(t, rig)
  const symbols = sets.at(-1) as string[]
  await again.subscribe({ channel: 'trades', symbols, from: { epoch: rig.epoch, seq: 1 } })
  await again.op('replay_completed')
  t.same(again.frames.flatMap(valuesOf), total.filter(within(symbols)), 'the whole new stream')
})

t.test('each symbol has its result, and only what can be done is done', async (t) => {
  const { rig, client } = await setUp(t)
  const symbols = ['BTC-USDT', 'E*']
  const stream = await client.subscribe({ channel: 'trades', symbols })
  const add = ['SOL-USDT', 'NO-SUCH', 'BTC-USDT']
  const ack = await client.ask({ op: 'update', stream, add, remove: ['E*', 'ETH-USDT'] })
  const results = (ack.symbols as Record<string, unknown>[]).map(({ symbol, result }) => {
    return [symbol, result]
  })
  t.same(results, [
    ['SOL-USDT', 'ok'],
    ['NO-SUCH', 'unknown'],
    ['BTC-USDT', 'ok'],
    ['E*', 'removed'],
    ['ETH-USDT', 'absent'],
  ])
  publish(rig, 1, 9)
  await client.until(() => client.recordCount(ack.stream as number) === 6, 'both symbols')
  t.equal(client.recordCount(stream), 0)
  const same = await client.ask({ op: 'update', stream: ack.stream, add: ['BTC-USDT'] })
  t.match(same, { stream: ack.stream, from_seq: 7, was: { stream: ack.stream, next_seq: 7 } })
})

t.test('a name that was written beside a * is there when the * goes', async (t) => {
  const { rig, client } = await setUp(t)
  const stream = await client.subscribe({ channel: 'trades', symbols: ['*', 'BTC-USDT'] })
  const ack = await client.ask({ op: 'update', stream, remove: ['*'] })
  publish(rig, 1, 9)
  await client.until(() => client.recordCount(ack.stream as number) === 3, 'the one')
  t.same(client.frames.flatMap(valuesOf), [3, 6, 9])
})

t.test('what is refused changes nothing', async (t) => {
  const { rig, client } = await setUp(t)
  const stream = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  const other = await client.subscribe({ channel: 'trades', symbols: ['ETH-USDT'] })
  const own = await client.subscribe({ channel: 'test' })
  const many = range(1, 1000).map(String)
  const refusals: [string, Record<string, unknown>][] = [
    ['unknown_stream', { stream: 999, add: ['A'] }],
    ['bad_field', { stream }],
    ['bad_field', { stream, add: [] }],
    ['bad_field', { stream, add: ['A'], remove: ['A'] }],
    ['bad_field', { stream, add: ['A'], from: { epoch: 1, seq: 1 } }],
    ['bad_field', { stream, remove: ['BTC-USDT'] }],
    ['bad_field', { stream, add: many }],
    ['bad_field', { stream, add: ['A'], symbols: ['B'] }],
    ['update_unavailable', { stream: own, add: ['A'] }],
    ['already_subscribed', { stream, add: ['ETH-USDT'], remove: ['BTC-USDT'] }],
  ]
  for (const [name, fields] of refusals) {
    const error = await client.ask({ op: 'update', ...fields })
    t.equal(error.name, name, `${name}: ${error.msg}`)
  }
  publish(rig, 1, 9)
  await client.until(() => client.recordCount(other) === 3, 'the other')
  t.equal(client.recordCount(stream), 3)
})

t.test('an image of what is added comes behind the ack, if asked for', async (t) => {
  const { rig, client } = await setUp(t)
  publish(rig, 1, 9)
  await rig.settled()
  const stream = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  const ack = await client.ask({ op: 'update', stream, add: ['SOL-USDT'], from: 'snapshot' })
  const image = await client.op('snapshot')
  t.match(image, { stream: ack.stream, next_seq: 7, count: 1 })
  await client.until(() => client.frames.length === 1, 'the image')
  t.same(client.frames.flatMap(valuesOf), [8], 'of SOL-USDT alone')
})

t.test('a stream that an update has left can be filled, up to where it was left', async (t) => {
  const { rig, client } = await setUp(t)
  const stream = await client.subscribe({ channel: 'trades', symbols: ['BTC-USDT'] })
  publish(rig, 1, 300)
  await client.until(() => client.recordCount(stream) === 100, 'all')
  const ack = await client.ask({ op: 'update', stream, add: ['ETH-USDT'] })
  t.match(ack.was, { stream, next_seq: 101 })
  publish(rig, 301, 300)
  await rig.settled()
  await client.until(() => client.recordCount(ack.stream as number) === 200, 'all')
  const beyond = await client.ask({ op: 'fill', stream, from: 101, to: 101 })
  t.equal(beyond.name, 'unknown_sequence')
  client.frames.length = 0
  client.send({ op: 'fill', id: 'f', stream, from: 11, to: 20 })
  const done = await client.control(({ op, id }) => op === 'replay_completed' && id === 'f')
  t.match(done, { stream, from: 11, to: 20, count: 10 })
  t.same(
    client.frames.flatMap(valuesOf),
    range(11, 10).map((n) => n * 3),
  )
  checkBalance(t, rig)
})

t.test('while it is filled or replayed a stream cannot be changed: a moment later', async (t) => {
  const { rig, client } = await setUp(t, { settings: { subscriber_buffer_bytes: 65_536 } })
  publish(rig, 1, 3000)
  await rig.settled()
  const from = { epoch: rig.epoch, seq: 1 }
  client.send({ op: 'subscribe', id: 's', channel: 'trades', from })
  client.send({ op: 'update', id: 'u', stream: 1, add: ['BTC-USDT'] })
  const error = await client.control(({ id }) => id === 'u')
  t.match(error, { name: 'replay_limit', retry_after_ms: 1000 })
  await client.op('replay_completed')
  t.same(client.frames.flatMap(valuesOf), range(1, 3000))
})

t.test(
  'a reader that is behind is told what it missed of the old stream, then goes on',
  async (t) => {
    const settings = { subscriber_buffer_bytes: 65_536, frame_ticks: 64, subscriber_age_ms: 0 }
    const { rig, client } = await setUp(t, { settings })
    const symbols = ['BTC-USDT', 'ETH-USDT']
    const slow = 'conflate'
    const old = await client.subscribe({ channel: 'quotes', symbols, slow })
    client.pause()
    const quotes = (from: number, count: number) => {
      return rig.publish(
        range(from, count).map((value) => ({
          instrument: rig.ids[value % 3] as number,
          kind: KIND.quote,
          value,
        })),
      )
    }
    let next = 1
    const isBehind = () => rig.serve.counters.get('records_skipped') > 0
    while (!isBehind()) {
      if (quotes(next, 600)) next += 600
      await new Promise((resolve) => setImmediate(resolve))
    }
    client.send({ op: 'update', id: 'u', stream: old, remove: ['BTC-USDT'] })
    client.resume()
    const ack = await client.control(({ id }) => id === 'u')
    const was = ack.was as { next_seq: number }
    const gaps = client.controls.filter(({ op, stream }) => op === 'gap' && stream === old)
    const declared = gaps.reduce((sum, { from, to }) => sum + Number(to) - Number(from) + 1, 0)
    t.equal(client.recordCount(old) + declared, was.next_seq - 1, 'received and declared are all')
    const image = await client.control(
      ({ op, stream }) => op === 'snapshot' && stream === ack.stream,
    )
    t.match(image, { count: 1 }, 'of what is still subscribed')
    if (quotes(next, 9)) next += 9
    const last = range(1, next - 1).findLast((value) => value % 3 === 1)
    await client.until(() => client.frames.flatMap(valuesOf).at(-1) === last, 'the newest')
    checkBalance(t, rig)
  },
)
