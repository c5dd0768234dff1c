// Holes in a venue's own numbers: told to those whom they concern, at their place among the
// records, live and in replays, over a join and a loss of the feed itself.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../client/index.ts'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { KIND, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { FeedClient } from '../support/feed-client.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import type { RigOptions, TickRow } from '../support/serve-rig.ts'

const FB = 'tickd.v1.fb'
const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

async function rigFor(t: Test, options: RigOptions = {}): Promise<JournalledRig> {
  const state = mkdtempSync(join(tmpdir(), 'tickd-upstream-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  const rig = new JournalledRig(state, options)
  await rig.start()
  t.teardown(() => rig.kill())
  return rig
}

async function clientFor(t: Test, rig: JournalledRig): Promise<FeedClient> {
  const client = await FeedClient.open(rig.feed, FB)
  t.teardown(() => client.close())
  return client
}

/** What came of a stream, in its order: a trade is its price, a hole `-from`, by its venue's id. */
function transcript({ all }: FeedClient, stream: number): number[] {
  const seen: number[] = []
  let next = 0
  for (const each of all) {
    if ('op' in each) {
      if (each.stream !== stream || each.op !== 'gap') continue
      if (each.cause !== 'upstream') throw new Error(JSON.stringify(each))
      if (next > 0 && each.next_seq !== next) throw new Error(`${next}: ${JSON.stringify(each)}`)
      seen.push(-Number(each.venue_from))
    } else if (each.stream === stream && each.batch !== undefined) {
      next = each.firstSeq + each.count
      for (let i = 0; i < each.count; i++) {
        seen.push(readNumber(each.batch.words, i * TICK_WORDS + WORD.p0) / 1e9)
      }
    }
  }
  return seen
}

t.test('a hole is told to the streams that carry what is missing', async (t) => {
  const rig = await rigFor(t)
  const [instrument = 0, other = 0] = rig.ids
  const client = await clientFor(t, rig)
  const symbols = ['BTC-USDT']
  const [trades, quotes, book] = await Promise.all(
    ['trades', 'quotes', 'book'].map((channel) => client.subscribe({ channel, symbols })),
  )
  rig.publish([
    { instrument, value: 1 },
    { instrument, value: 0, hole: { kind: KIND.trade, from: 2, to: 4 } },
    { instrument: other, value: 0, hole: { kind: KIND.trade, from: 9, to: 9 } },
    { instrument, value: 0, hole: { kind: KIND.book, from: 50, to: 51 } },
    { instrument, value: 0, hole: {} },
    { instrument, value: 5 },
  ])
  await client.until(() => client.recordCount(trades as number) === 2, 'both trades')
  const told = (stream: number | undefined) => client.controls.filter((m) => m.stream === stream)
  const head = { op: 'gap', epoch: rig.epoch, cause: 'upstream', instrument }
  const unknown = { ...head, of: null, venue_from: null, venue_to: null }
  const ofBook = { ...head, of: 'book', venue_from: '50', venue_to: '51', next_seq: 1 }
  t.match(told(trades).slice(1), [
    { ...head, stream: trades, of: 'trade', venue_from: '2', venue_to: '4', next_seq: 2 },
    { ...unknown, stream: trades, next_seq: 2 },
  ])
  t.match(told(quotes).slice(1), [ofBook, unknown])
  t.match(told(book).slice(1), [ofBook, unknown])
})

/** Trades and holes in a random order, until each of `joiners` has come and caught up. */
t.test('at their place for all, from wherever and whenever they join', async (t) => {
  const rig = await rigFor(t, { settings: { frame_ticks: 64, subscriptions_max: 64 } })
  const [instrument = 0, other = 0] = rig.ids
  let state = seed
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % below
  }
  const expected: number[] = []
  let trades = 0
  const publish = () => {
    const rows: TickRow[] = Array.from({ length: 1 + random(200) }, (): TickRow => {
      const what = random(8)
      if (what === 0) return { instrument: other, value: 0, hole: { kind: KIND.trade } }
      if (what < 3) return { instrument, value: 0, hole: { kind: KIND.trade, from: 1 + random(9) } }
      return { instrument: what === 3 ? other : instrument, value: 1 }
    })
    const own = rows.filter((row) => row.instrument === instrument)
    for (const row of own) if (row.hole === undefined) row.value = trades + own.indexOf(row) + 1
    if (!rig.publish(rows)) return
    trades += own.length
    expected.push(...own.map(({ value, hole }) => (hole === undefined ? value : -(hole.from ?? 0))))
  }
  const symbols = ['BTC-USDT']
  const joiners: { client: FeedClient; stream: number; from: number }[] = []
  const join = async () => {
    const client = await clientFor(t, rig)
    // Of a random trade that was published: its place, and its sequence.
    const places = expected.flatMap((value, place) => (value > 0 ? [place] : []))
    const seq = 1 + random(places.length + 1)
    const from = seq === 1 ? 0 : (places[seq - 2] as number) + 1
    const at = { epoch: rig.epoch, seq }
    const stream = await client.subscribe({ channel: 'trades', symbols, from: at })
    joiners.push({ client, stream, from })
  }
  const pending: Promise<void>[] = []
  while (expected.length < 20_000) {
    publish()
    await new Promise((resolve) => setImmediate(resolve))
    if (pending.length < 20 && random(10) === 0) pending.push(join())
  }
  await Promise.all(pending)
  // One that asks for just what comes next has what was told since.
  rig.publish([{ instrument, value: 0, hole: { kind: KIND.trade, from: 7 } }])
  expected.push(-7)
  await rig.settled()
  const last = await clientFor(t, rig)
  const seq = expected.filter((value) => value > 0).length + 1
  const at = { epoch: rig.epoch, seq }
  const stream = await last.subscribe({ channel: 'trades', symbols, from: at })
  const from = expected.findLastIndex((value) => value > 0) + 1
  joiners.push({ client: last, stream, from })
  for (const joiner of joiners) {
    const wanted = expected.slice(joiner.from)
    const seen = () => transcript(joiner.client, joiner.stream)
    await joiner.client.until(() => seen().length >= wanted.length, 'all that follows')
    t.same(seen(), wanted, `from ${joiner.from}`)
  }
})

t.test('among records that the ring lost, and a client hears of both', async (t) => {
  const rig = await rigFor(t, { ringTicks: 1024 })
  const [instrument = 0] = rig.ids
  const feed = connect(rig.feed, { WebSocket, protocol: 'json' })
  t.teardown(() => feed.close())
  const heard: unknown[] = []
  let count = 0
  const subscription = feed.subscribe(
    { channel: 'trades', symbols: ['BTC-USDT'] },
    {
      batch: (batch) => {
        count += batch.count
      },
      gap: ({ cause, from, to, message }) => heard.push([cause, from, to, message?.venue_from]),
    },
  )
  await subscription.ready
  rig.serve.isPaused = true
  for (let value = 1; value <= 4000; value += 100) {
    rig.trades(value, 100)
    if (value === 501) {
      rig.publish([{ instrument, value: 0, hole: { kind: KIND.trade, from: 77, to: 78 } }])
    }
    await rig.settled()
  }
  rig.serve.isPaused = false
  const deadline = performance.now() + 10_000
  while (count < 4000 && performance.now() < deadline) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(count, 4000, 'what was lost by us is filled')
  t.same(heard, [['upstream', 601, undefined, '77']], 'what was lost by the venue is told')
  t.equal(subscription.stats.undeclared, 0)
})
