// Books on the feed, out of hand-written depth frames of a venue: decoder, ring, feed, sockets.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Books, connect, followBooks } from '../../client/index.ts'
import type { BookLevel } from '../../client/record.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { DecodeRig } from '../support/decode-rig.ts'
import { FeedClient } from '../support/feed-client.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import { type RigOptions, ServeRig } from '../support/serve-rig.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

type Levels = [price: string, size: string][]

/** A spot depth update of ids U … u. */
function update(symbol: string, U: number, u: number, b: Levels, a: Levels = []) {
  return { e: 'depthUpdate', E: 1723161256299, s: symbol, U, u, b, a }
}

function snapshot(symbol: string, lastUpdateId: number, bids: Levels, asks: Levels) {
  return {
    stream: `${symbol.toLowerCase()}@depthSnapshot`,
    data: { lastUpdateId, bids, asks },
  }
}

class Venue {
  readonly rig: ServeRig
  readonly wanted: number[] = []
  readonly #decode = new DecodeRig('binance')
  #known = 0

  /** `journalled`: the records go through a journal as well. */
  constructor(t: Test, options: RigOptions = {}, journalled?: JournalledRig) {
    if (journalled !== undefined) {
      this.rig = journalled.serve
      return
    }
    this.rig = new ServeRig({
      ...options,
      overrides: { wantBook: (_, instrument) => this.wanted.push(instrument) },
    })
    this.rig.start()
    t.teardown(() => this.rig.close())
  }

  /** Decodes a frame and publishes its records. */
  send(frame: object): void {
    this.publish(this.decode(frame))
  }

  /** Records of a frame, to be published. */
  decode(frame: object): TickBatch {
    this.#decode.sendRaw(frame)
    // The tables of both ends have the same instruments, in the same order.
    for (; this.#known < this.#decode.instruments.count; this.#known++) {
      const { symbol } = this.#decode.instruments.get(this.#known + 1) ?? { symbol: '' }
      this.rig.instruments.add('binance', symbol, symbol.replace('-', ''))
    }
    const { bytes, count } = this.#decode.batch
    const records = new TickBatch(count)
    records.bytes.set(bytes.subarray(0, records.bytes.length))
    records.count = count
    return records
  }

  publish(records: TickBatch, from = 0, to = records.count): void {
    if (to > from) this.rig.producer.publish(records, from, to - from)
  }
}

class Reader {
  readonly client: FeedClient
  readonly books = new Books()
  #taken = 0

  constructor(client: FeedClient) {
    this.client = client
  }

  static async open(t: Test, venue: Venue, channel: string, more: object = {}): Promise<Reader> {
    const client = await FeedClient.open(venue.rig.feed, 'tickd.v1.json')
    t.teardown(() => client.close())
    await client.subscribe({ channel, from: 'snapshot', ...more })
    return new Reader(client)
  }

  /** Applies what has come. */
  take(): this {
    for (; this.#taken < this.client.frames.length; this.#taken++) {
      const records = this.client.frames[this.#taken]?.records ?? []
      for (const record of records) this.books.apply(record as unknown as BookLevel)
    }
    return this
  }

  /** 'bids … | asks …', or '' while the book is not whole. */
  text(name = 'binance:BTC-USDT'): string {
    const book = this.take().books.get(name)
    if (book?.isWhole !== true) return ''
    const side = (levels: typeof book.bids) => levels.map((l) => `${l.price}x${l.size}`).join(' ')
    return `${side(book.bids)} | ${side(book.asks)}`
  }

  async until(text: string, name?: string): Promise<void> {
    await this.client
      .until(() => this.text(name) === text, `the book ${text}`)
      .catch((error) => {
        throw new Error(`${error.message}; it is ${this.text(name)}`)
      })
  }

  notices(): unknown[] {
    return this.client.controls
      .filter(({ op }) => op === 'book')
      .map(({ name, code, instruments }) => {
        return [code, name, (instruments as { symbol: string }[]).map(({ symbol }) => symbol)]
      })
  }
}

const BTC = 'BTCUSDT'
const BIDS: Levels = [
  ['10', '1'],
  ['9', '2'],
]
const ASKS: Levels = [
  ['11', '3'],
  ['12', '4'],
]

t.test('a late subscriber has the book of an early one', async (t) => {
  const venue = new Venue(t)
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const early = await Reader.open(t, venue, 'book')
  await early.until('10x1 9x2 | 11x3 12x4')
  venue.send(update(BTC, 11, 12, [['10', '0']], [['11.5', '7']]))
  const late = await Reader.open(t, venue, 'book')
  await early.until('9x2 | 11x3 11.5x7 12x4')
  await late.until('9x2 | 11x3 11.5x7 12x4')
  venue.send(update(BTC, 13, 13, [['9.5', '6']], [['12', '0']]))
  await early.until('9.5x6 9x2 | 11x3 11.5x7')
  await late.until('9.5x6 9x2 | 11x3 11.5x7')
  const told = await late.client.op('snapshot')
  const [image, ...changes] = late.client.frames
  t.match(told, { next_seq: 8, count: 5 }, 'the hand-off: behind the image and the update')
  t.match(image, { firstSeq: 8, count: 5 })
  t.equal(changes[0]?.firstSeq, 8, 'the image takes no sequence')
  t.match(image?.records[0], { action: 'clear', side: 'none', flags: ['snapshot'], price: null })
  t.match(image?.records[4], { flags: ['last', 'snapshot'], side: 'sell', price: '12' })
  t.same(early.notices(), [])
})

t.test('a gap breaks one book, which is told and comes again whole', async (t) => {
  const venue = new Venue(t)
  for (const symbol of [BTC, 'ETHUSDT']) venue.send(snapshot(symbol, 10, BIDS, ASKS))
  const all = await Reader.open(t, venue, 'book')
  const top = await Reader.open(t, venue, 'book.1')
  await all.until('10x1 9x2 | 11x3 12x4')
  await top.until('10x1 | 11x3')
  venue.send(update(BTC, 20, 21, [['10.5', '1']]))
  venue.send(update('ETHUSDT', 11, 11, [['10', '8']]))
  await top.until('10x8 | 11x3', 'binance:ETH-USDT')
  await all.until('10x8 9x2 | 11x3 12x4', 'binance:ETH-USDT')
  for (const reader of [all, top]) t.same(reader.notices(), [[5001, 'book_gap', ['BTC-USDT']]])
  const frames = top.client.frames.flatMap(({ records }) => records)
  t.notOk(
    frames.some(({ price }) => price === '10.5'),
    'nothing of a broken book',
  )
  const amid = await Reader.open(t, venue, 'book.1')
  await amid.until('10x8 | 11x3', 'binance:ETH-USDT')
  t.equal(amid.text(), '', 'no image of it')
  t.same(amid.notices(), [[5001, 'book_gap', ['BTC-USDT']]], 'but the word that it is broken')
  // The venue's answer; the update that came meanwhile follows it.
  venue.send(snapshot(BTC, 20, [['8', '1']], ASKS))
  await all.until('10.5x1 8x1 | 11x3 12x4')
  await top.until('10.5x1 | 11x3')
  await amid.until('10.5x1 | 11x3')
  const { controls } = all.client
  const gap = controls.findIndex(({ op }) => op === 'gap')
  t.match(controls[gap], { cause: 'upstream', venue_from: '11', venue_to: '19', next_seq: 11 })
  t.match(controls[gap + 1], { op: 'book', state: 'broken', next_seq: 11 }, 'at its place')
})

t.test('a crossed book is told at its place, and a fresh image is asked for', async (t) => {
  const venue = new Venue(t)
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const all = await Reader.open(t, venue, 'book')
  const top = await Reader.open(t, venue, 'book.5')
  await top.until('10x1 9x2 | 11x3 12x4')
  // Amid what is to be conflated.
  venue.send(update(BTC, 11, 11, [['9.5', '6']]))
  venue.send(update(BTC, 12, 12, [['11', '5']]))
  await all.client.op('book')
  await top.client.op('book')
  for (const reader of [all, top]) t.same(reader.notices(), [[5002, 'book_crossed', ['BTC-USDT']]])
  t.same(venue.wanted, [1])
  t.notOk(top.client.frames.some(({ records }) => records.some(({ size }) => size === '5')))
  const notice = all.client.all.findIndex((message) => 'op' in message && message.op === 'book')
  const last = all.client.all[notice - 1] as { firstSeq: number; count: number }
  t.equal(last.firstSeq + last.count, 8, 'behind the record that crossed')
  const late = await Reader.open(t, venue, 'book')
  t.match(await late.client.op('snapshot'), { count: 0 })
  t.match(await late.client.op('book'), { code: 5002 })
  venue.send(snapshot(BTC, 13, [['10.9', '5']], ASKS))
  for (const reader of [all, top, late]) await reader.until('10.9x5 | 11x3 12x4')
  const records = top.client.frames.flatMap((frame) => frame.records)
  const isEmpty = records.some(({ action, flags }) => {
    return action === 'clear' && (flags as string[]).includes('last')
  })
  t.notOk(isEmpty, 'a broken book is not an empty one')
})

t.test('the best levels come when they change, and are right for who comes amid', async (t) => {
  const venue = new Venue(t)
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const one = await Reader.open(t, venue, 'book.1')
  const two = await Reader.open(t, venue, 'book.2')
  await one.until('10x1 | 11x3')
  await two.until('10x1 9x2 | 11x3 12x4')
  const before = one.client.frames.length
  venue.send(update(BTC, 11, 11, [['9', '7']]))
  await two.until('10x1 9x7 | 11x3 12x4')
  t.equal(one.client.frames.length, before, 'a level below the best is nothing to it')
  venue.send(update(BTC, 12, 12, [['10', '0']]))
  await one.until('9x7 | 11x3')
  t.equal(one.client.frames.at(-1)?.count, 3, 'clear, bid, ask')
  t.match(await one.client.ask({ op: 'subscribe', channel: 'book.51' }), { code: 2001 })
  t.match(await one.client.ask({ op: 'subscribe', channel: 'book.05' }), { code: 2001 })
})

t.test('who comes amid an event, or amid an image, has the book at its end', async (t) => {
  const venue = new Venue(t)
  const image = venue.decode(snapshot(BTC, 10, BIDS, ASKS))
  venue.publish(image, 0, 3)
  const watch = await FeedClient.open(venue.rig.feed)
  t.teardown(() => watch.close())
  await watch.until(() => venue.rig.counters.get('records') === 3, 'half of the image')
  const readers = [await Reader.open(t, venue, 'book'), await Reader.open(t, venue, 'book.2')]
  t.match(await readers[0]?.client.op('snapshot'), { count: 3 }, 'what has come of it')
  t.match(await readers[1]?.client.op('snapshot'), { count: 0 }, 'of best levels nothing')
  for (const reader of readers) t.equal(reader.text(), '')
  venue.publish(image, 3)
  for (const reader of readers) await reader.until('10x1 9x2 | 11x3 12x4')
  // Crossed until the second half has come; other books are served meanwhile.
  const end = '11x8 10x1 9x2 | 12x4'
  const event = venue.decode(update(BTC, 11, 11, [['11', '8']], [['11', '0']]))
  venue.publish(event, 0, 1)
  await watch.until(() => venue.rig.counters.get('records') === 6, 'half of the event')
  venue.send(snapshot('ETHUSDT', 10, BIDS, ASKS))
  await readers[1]?.until('10x1 9x2 | 11x3 12x4', 'binance:ETH-USDT')
  const late = await Reader.open(t, venue, 'book')
  const lateTop = await Reader.open(t, venue, 'book.2')
  t.match(await late.client.op('snapshot'), { count: 11 })
  t.match(await lateTop.client.op('snapshot'), { count: 5 }, 'of the other')
  t.equal(late.text(), '', 'it has no end')
  venue.publish(event, 1)
  for (const reader of [readers[0], late]) await reader?.until(end)
  for (const reader of [readers[1], lateTop]) await reader?.until('11x8 10x1 | 12x4')
})

/** Fills the ring of 1024 records several times over while nobody reads it. */
async function overrun(venue: Venue, from: number, settled: () => Promise<void>): Promise<void> {
  venue.rig.isPaused = true
  venue.send(update(BTC, from++, from, [['9.9', '1']]))
  for (let id = from; id < from + 40; id++) {
    const bids = Array.from({ length: 100 }, (_, n): [string, string] => [`5.${n}1`, `${id}`])
    venue.send(update(BTC, id, id, bids))
    await settled()
  }
  venue.send(update(BTC, from + 40, from + 40, [['10', '44']]))
  venue.rig.isPaused = false
}

t.test('records lost within the daemon break the books, where no journal has them', async (t) => {
  const venue = new Venue(t, { ringTicks: 1024 })
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const all = await Reader.open(t, venue, 'book')
  const top = await Reader.open(t, venue, 'book.1')
  await top.until('10x1 | 11x3')
  await overrun(venue, 11, () => Promise.resolve())
  for (const reader of [all, top]) {
    t.match(await reader.client.op('book'), { code: 5004, name: 'book_lost' })
  }
  t.same(venue.wanted, [1])
  await all.client.until(() => venue.rig.counters.get('books_not_whole') === 1, 'the count')
  t.equal(venue.rig.counters.get('books_broken'), 1)
  venue.send(snapshot(BTC, 60, [['10', '7']], ASKS))
  await top.until('10x7 | 11x3')
  await all.until('10x7 | 11x3 12x4')
})

t.test('with a journal the feed reads there what it lost, and the books stay right', async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'tickd-books-'))
  const journalled = new JournalledRig(state, { ringTicks: 1024 })
  await journalled.start()
  t.teardown(async () => {
    await journalled.kill()
    rmSync(state, { recursive: true, force: true })
  })
  const venue = new Venue(t, {}, journalled)
  const book = 'test:BTC-USDT'
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const all = await Reader.open(t, venue, 'book', { slow: 'gap' })
  const top = await Reader.open(t, venue, 'book.1')
  await top.until('10x1 | 11x3', book)
  await overrun(venue, 11, () => journalled.settled())
  await top.until('10x44 | 11x3', book)
  t.same(top.notices(), [])
  t.notOk(top.client.controls.some(({ op }) => op === 'gap'))
  const late = await Reader.open(t, venue, 'book')
  await late.client.until(() => late.text(book).startsWith('10x44 9.9x1 9x2 5.991x51'), 'the book')
  // Who was not sent them is told, and has them again.
  const gap = await all.client.op('gap')
  t.match(gap, { cause: 'overrun', from: 6 })
  t.same(all.notices(), [])
})

t.test('who reads too slowly and conflates has images of the books that changed', async (t) => {
  const venue = new Venue(t, { settings: { subscriber_buffer_bytes: 64 * 1024 } })
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const slow = await Reader.open(t, venue, 'book', { slow: 'conflate' })
  await slow.until('10x1 9x2 | 11x3 12x4')
  slow.client.pause()
  let id = 11
  const isBehind = () => venue.rig.counters.get('records_skipped') > 0
  await slow.client.until(() => {
    for (let i = 0; i < 10; i++, id++) {
      const bids = Array.from({ length: 200 }, (_, n): [string, string] => [`0.${n}1`, `${id}`])
      venue.send(update(BTC, id, id, bids))
    }
    return isBehind()
  }, 'the subscriber to be behind')
  venue.send(update(BTC, id, id, [['10', '77']], [['11', '0']]))
  const early = await Reader.open(t, venue, 'book')
  await early.client.until(() => early.text().startsWith('10x77 9x2'), 'the book')
  slow.client.resume()
  await slow.until(early.text())
  t.match(await slow.client.op('gap'), { cause: 'conflated' })
  t.equal(venue.rig.counters.get('subscriptions_unbalanced'), 0)
})

t.test('best levels that nobody reads are not made again and again', async (t) => {
  const venue = new Venue(t, { settings: { subscriber_buffer_bytes: 2 * 1024 * 1024 } })
  const symbols = Array.from({ length: 40 }, (_, i) => `S${i + 10}USDT`)
  const side = (base: number): Levels => Array.from({ length: 50 }, (_, n) => [`${base + n}`, '1'])
  let id = 10
  for (const symbol of symbols) venue.send(snapshot(symbol, id, side(100), side(200)))
  const slow = await Reader.open(t, venue, 'book.50')
  const fast = await Reader.open(t, venue, 'book.1')
  const change = async () => {
    id++
    for (const symbol of symbols) venue.send(update(symbol, id, id, [['149', `${id}`]]))
    await fast.until(`149x${id} | 200x1`, 'binance:S49-USDT')
  }
  await slow.client.until(() => slow.text('binance:S49-USDT') !== '', 'the books')
  slow.client.pause()
  const { counters } = venue.rig
  while (counters.get('records_skipped') === 0) await change()
  const count = () => fast.client.frames.reduce((sum, frame) => sum + frame.count, 0)
  const before = { published: counters.get('records_published'), fast: count() }
  for (let i = 0; i < 3; i++) await change()
  const isAll = () => counters.get('records_published') - before.published === count() - before.fast
  await fast.client.until(isAll, 'what was made to be what the other one had')
  slow.client.resume()
  for (const symbol of ['S10-USDT', 'S49-USDT']) {
    const name = `binance:${symbol}`
    await slow.client.until(() => slow.text(name).startsWith(`149x${id} 148x1`), symbol)
  }
  t.equal(counters.get('subscriptions_unbalanced'), 0)
  t.match(await slow.client.op('gap'), { cause: 'conflated' })
})

t.test('who missed records is told which books are not whole behind the gap', async (t) => {
  const venue = new Venue(t, { settings: { subscriber_buffer_bytes: 64 * 1024 } })
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  const slow = await Reader.open(t, venue, 'book')
  await slow.until('10x1 9x2 | 11x3 12x4')
  slow.client.pause()
  let id = 11
  await slow.client.until(() => {
    for (let i = 0; i < 10; i++, id++) {
      const bids = Array.from({ length: 200 }, (_, n): [string, string] => [`0.${n}1`, `${id}`])
      venue.send(update(BTC, id, id, bids))
    }
    return venue.rig.counters.get('records_skipped') > 0
  }, 'the subscriber to be behind')
  venue.send(update(BTC, id + 5, id + 5, [['10', '77']]))
  await slow.client.until(() => venue.rig.counters.get('books_broken') === 1, 'the break')
  slow.client.resume()
  const isSlow = ({ op, cause }: { op: string; cause?: unknown }) =>
    op === 'gap' && cause === 'slow'
  await slow.client.control(isSlow)
  const { controls } = slow.client
  const told = () => controls.slice(controls.findIndex(isSlow)).some(({ op }) => op === 'book')
  await slow.client.until(told, 'the word on the book behind the gap')
  t.ok(slow.notices().length >= 2, 'told when it broke, and told again')
})

t.test('any updates: early, late and conflated readers end with the same book', async (t) => {
  let state = seed
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
  const levels = (base: number): Levels =>
    Array.from({ length: random(8) }, () => [String(base + random(30)), String(random(3))])
  const venue = new Venue(t, { settings: { frame_ticks: 16 } })
  const image = (id: number, size: number) =>
    snapshot(
      BTC,
      id,
      Array.from({ length: size }, (_, i) => [String(100 + (i % 30)), '5']),
      Array.from({ length: size }, (_, i) => [String(200 + (i % 30)), '5']),
    )
  venue.send(image(10, 30))
  const early = await Reader.open(t, venue, 'book')
  const readers = [early]
  let id = 11
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 40; i++, id++) {
      if (random(40) === 0) {
        id += 5
        venue.send(update(BTC, id, id, levels(100), levels(200)))
        venue.send(image(id, 30))
      } else venue.send(update(BTC, id, id, levels(100), levels(200)))
    }
    readers.push(await Reader.open(t, venue, 'book'))
  }
  const top = await Reader.open(t, venue, 'book.3')
  venue.send(update(BTC, id, id, [['130', '9']], [['199', '9']]))
  await early.client.until(() => early.text().includes('130x9'), 'the last update')
  const whole = early.text()
  for (const reader of readers) await reader.until(whole)
  t.equal(readers.length, 9)
  const [bids = '', asks = ''] = whole.split(' | ')
  const best = [bids, asks].map((side) => side.split(' ').slice(0, 3).join(' ')).join(' | ')
  await top.until(best)
})

t.test('the client keeps books by itself', async (t) => {
  const venue = new Venue(t)
  venue.send(snapshot(BTC, 10, BIDS, ASKS))
  for (const depth of [undefined, 1]) {
    const feed = connect(venue.rig.feed, { WebSocket, protocol: 'fb' })
    t.teardown(() => feed.close())
    const seen: string[] = []
    const watch = await FeedClient.open(venue.rig.feed)
    t.teardown(() => watch.close())
    const request = depth === undefined ? {} : { depth }
    const { subscription } = followBooks(
      feed,
      { symbols: ['BTC-USDT'], ...request },
      (name, book) =>
        seen.push(`${name} ${book === undefined ? 'broken' : book.bids.map((l) => l.price)}`),
    )
    await subscription.ready
    const base = depth === undefined ? 20 : 40
    const wait = async (text: string) => {
      await watch.until(() => seen.includes(`binance:BTC-USDT ${text}`), text)
      t.pass(text)
    }
    await wait(depth === undefined ? '10,9' : '10')
    venue.send(update(BTC, base, base, [['10', '9']]))
    await wait('broken')
    venue.send(snapshot(BTC, base + 1, [['7', '1']], ASKS))
    await wait('7')
    venue.send(snapshot(BTC, base + 2, BIDS, ASKS))
    subscription.close()
  }
})
