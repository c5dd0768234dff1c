// What a subscription makes of what comes: order, holes, fills, epochs, and a slow reader.

import t from 'tap'
import { ObjectBatch } from '../../../client/batch.ts'
import { crc32, crcText } from '../../../client/crc32.ts'
import type { FeedEvent, FeedRecord, Gap } from '../../../client/index.ts'
import type { FillRange } from '../../../client/link.ts'
import type { Ack, UpdateAck } from '../../../client/messages.ts'
import { Subscription } from '../../../client/subscription.ts'

const EPOCH = 7
const STREAM = 3
const PAYLOAD = new Uint8Array([1, 2, 3])

function ack(nextSeq: number | null, more: Partial<Ack> = {}): Ack {
  return {
    op: 'ack',
    stream: STREAM,
    channel: 'trades',
    epoch: EPOCH,
    next_seq: nextSeq,
    symbols: [],
    ...more,
  }
}

function record(value: number): FeedRecord {
  return {
    type: 'status',
    venue: null,
    symbol: null,
    ts_event: null,
    ts_recv: null,
    flags: [],
    status: 'none',
    from: value,
    to: value,
  }
}

class Rig {
  readonly seen: (number | Gap | FeedEvent)[] = []
  readonly fills: { epoch: number; from: number; to: number }[] = []
  /** Their streams. */
  readonly filled: number[] = []
  readonly subscription: Subscription
  isOpen = true

  constructor(
    options: {
      iterates?: boolean
      recordsMax?: number
      fillsGaps?: boolean
      channel?: string
    } = {},
  ) {
    const { iterates = false, recordsMax = 1000, fillsGaps = true, channel = 'trades' } = options
    const keep = (event: FeedEvent) => {
      if (event.type === 'gap') this.seen.push(event.gap)
      else if (event.type !== 'batch') this.seen.push(event)
      else this.seen.push(...Array.from(numbersOf(event)))
    }
    const link = {
      queueRecordsMax: recordsMax,
      fillsGaps,
      fill: (_: Subscription, { stream, epoch, from, to }: FillRange) => {
        if (this.isOpen) this.fills.push({ epoch, from, to })
        if (this.isOpen) this.filled.push(stream)
        return this.isOpen
      },
      update: () => Promise.reject(new Error('not here')),
      unsubscribe: () => {},
      onPressure: () => {},
    }
    const handlers = {
      batch: (batch: Extract<FeedEvent, { type: 'batch' }>['batch']) =>
        keep({ type: 'batch', batch }),
      gap: (gap: Gap) => keep({ type: 'gap', gap }),
      epoch: (epoch: number, nextSeq: number) => keep({ type: 'epoch', epoch, nextSeq }),
      update: (epoch: number, nextSeq: number, symbols: readonly string[]) =>
        keep({ type: 'update', epoch, nextSeq, symbols }),
    }
    this.subscription = new Subscription(link, { channel }, iterates ? {} : handlers)
    this.subscription.onAck(ack(1))
  }

  /** A frame whose records hold their own sequence. */
  data(firstSeq: number, count = 1, epoch = EPOCH, stream = STREAM): void {
    const head = { stream, epoch, firstSeq }
    const records = Array.from({ length: count }, (_, i) => record(firstSeq + i))
    const batch = new ObjectBatch(head, records, this.subscription.kindOf(head))
    this.subscription.onBatch(batch, () => PAYLOAD)
  }

  tell(op: string, fields: Record<string, unknown>): void {
    this.subscription.onMessage({ op, stream: STREAM, ...fields })
  }

  fillDone(from: number, to: number, digest = crcText(crc32(PAYLOAD, 0))): void {
    this.tell('replay_completed', { epoch: EPOCH, from, to, digest })
  }

  get stats() {
    return this.subscription.stats
  }
}

function* numbersOf(event: Extract<FeedEvent, { type: 'batch' }>): Generator<number> {
  const { batch } = event
  for (let i = 0; i < batch.count; i++) {
    const { seq, ...record } = batch.record(i)
    if (record.type === 'status') yield seq ?? -(record.from as number)
  }
}

t.test('what is dense passes, what came before is dropped', async (t) => {
  const rig = new Rig()
  rig.data(1, 3)
  rig.data(2, 4)
  rig.data(6)
  rig.data(4)
  t.same(rig.seen, [1, 2, 3, 4, 5, 6])
  t.match(rig.stats, { duplicates: 3, undeclared: 0, missed: 0, records: 6 })
})

t.test('a declared gap is filled in its place: what came meanwhile waits', async (t) => {
  const rig = new Rig()
  rig.data(1)
  rig.tell('gap', { from: 2, to: 4, cause: 'slow' })
  t.same(rig.fills, [{ epoch: EPOCH, from: 2, to: 4 }])
  rig.data(5)
  rig.data(2, 2)
  rig.data(6)
  t.same(rig.seen, [1, 2, 3], 'live records are held back')
  rig.data(4)
  rig.fillDone(2, 4, crcText(crc32(PAYLOAD, crc32(PAYLOAD, 0))))
  rig.data(7)
  t.same(rig.seen, [1, 2, 3, 4, 5, 6, 7])
  t.match(rig.stats, { missed: 3, filled: 3, undeclared: 0, corrupt: 0 })
})

t.test('gaps behind a gap are filled one after the other', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { from: 1, to: 1, cause: 'slow' })
  rig.data(2)
  rig.tell('gap', { from: 3, to: 3, cause: 'overrun' })
  rig.data(4)
  t.equal(rig.fills.length, 1, 'one fill on a stream at a time')
  rig.data(1)
  rig.fillDone(1, 1)
  t.same(rig.fills.at(-1), { epoch: EPOCH, from: 3, to: 3 })
  rig.data(3)
  rig.fillDone(3, 3)
  t.same(rig.seen, [1, 2, 3, 4])
})

t.test('what a fill does not bring is told as a gap', async (t) => {
  const rig = new Rig()
  rig.data(1)
  rig.tell('gap', { from: 2, to: 6, cause: 'slow' })
  rig.data(7)
  rig.data(4)
  rig.subscription.onFillEnd()
  const [one, before, four, rest, seven] = rig.seen
  t.same([one, four, seven], [1, 4, 7])
  t.match(before, { from: 2, to: 3, cause: 'slow' })
  t.match(rest, { from: 5, to: 6, cause: 'slow' })
})

t.test('a replay whose bytes are others than the server’s is counted', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { from: 1, to: 1, cause: 'slow' })
  rig.data(1)
  rig.fillDone(1, 1, '00000000')
  t.equal(rig.stats.corrupt, 1)
})

t.test('a hole that nobody declared is found by the next frame or heartbeat', async (t) => {
  const rig = new Rig({ fillsGaps: false })
  rig.data(3)
  rig.subscription.onHeartbeat(6)
  t.match(rig.seen, [
    { from: 1, to: 2, cause: 'undeclared' },
    3,
    { from: 4, to: 5, cause: 'undeclared' },
  ])
  t.equal(rig.stats.undeclared, 2)
})

t.test('without a connection a gap cannot be filled, and is told at once', async (t) => {
  const rig = new Rig()
  rig.isOpen = false
  rig.tell('gap', { from: 1, to: 2, cause: 'slow' })
  rig.data(3)
  t.match(rig.seen, [{ from: 1, to: 2 }, 3])
})

t.test('what an image stands for is not filled, and an image has no sequences', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { from: 1, to: 5, cause: 'conflated' })
  rig.tell('snapshot', { next_seq: 6, count: 2 })
  rig.data(6, 2)
  rig.data(6)
  t.match(rig.seen, [{ from: 1, to: 5, cause: 'conflated' }, -6, -7, 6])
  t.same(rig.fills, [])
})

t.test('holes of the venue and of unknown size are told, and nothing is missing', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { cause: 'upstream', next_seq: 1, instrument: 9, venue_from: '5', venue_to: '6' })
  rig.data(1)
  t.match(rig.seen, [{ from: 1, to: undefined, cause: 'upstream', message: { instrument: 9 } }, 1])
  t.match(rig.stats, { missed: 0, undeclared: 0 })
})

t.test(
  'after a reconnect the same sequence goes on, over a restart into the next epoch',
  async (t) => {
    const rig = new Rig()
    rig.data(1, 4)
    t.same(rig.subscription.from(), { epoch: EPOCH, seq: 5 })
    rig.subscription.onAck(ack(5, { replay: true, stream: 1 }))
    rig.tell('gap', { epoch: EPOCH, from: 4, to: 4, cause: 'restart', next_epoch: 8 })
    rig.tell('epoch', { epoch: 8, next_seq: 1 })
    rig.data(1, 2, 8)
    rig.tell('replay_completed', {
      epoch: 8,
      next_seq: 3,
      digest: crcText(crc32(PAYLOAD, 0)),
    })
    rig.data(3, 1, 8)
    t.match(rig.seen, [
      1,
      2,
      3,
      4,
      { from: 4, to: 4, cause: 'restart', epoch: EPOCH },
      { type: 'epoch', epoch: 8, nextSeq: 1 },
      1,
      2,
      3,
    ])
    t.match(rig.stats, { voided: 1, missed: 0, undeclared: 0, corrupt: 0 })
    t.same(rig.subscription.position, { epoch: 8, seq: 4 })
  },
)

t.test('where going back was refused, a gap says from where on all is missing', async (t) => {
  const rig = new Rig()
  rig.data(1, 4)
  rig.subscription.onAck(ack(900, { epoch: 8 }))
  rig.data(900, 1, 8)
  t.match(rig.seen.slice(4), [{ epoch: EPOCH, from: 5, to: undefined, cause: 'restart' }, 900])
})

t.test('a fill that the connection cut is asked for again', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { from: 1, to: 4, cause: 'slow' })
  rig.data(1, 2)
  rig.data(5)
  rig.subscription.onAck(ack(6, { replay: true }))
  t.same(rig.fills.at(-1), { epoch: EPOCH, from: 3, to: 4 })
  rig.data(3, 2)
  rig.fillDone(1, 4)
  t.same(rig.seen, [1, 2, 3, 4, 5])
})

t.test('what is held back behind a hole is bounded: then the hole is told', async (t) => {
  const rig = new Rig({ recordsMax: 10 })
  rig.tell('gap', { from: 1, to: 1, cause: 'slow' })
  rig.data(2, 10)
  t.same(rig.seen, [])
  rig.data(12)
  t.match(rig.seen[0], { from: 1, to: 1 })
  t.same(rig.seen.slice(1), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
})

t.test('a slow reader loses the newest, knows what, and has it again', async (t) => {
  const rig = new Rig({ iterates: true, recordsMax: 10 })
  for (let seq = 1; seq <= 25; seq++) rig.data(seq)
  t.equal(rig.subscription.queuedCount, 10)
  const events = rig.subscription.events()
  const taken: number[] = []
  const take = async () => {
    const { value } = await events.next()
    if (value?.type === 'batch') taken.push(...numbersOf(value))
  }
  for (let i = 0; i < 6; i++) await take()
  t.same(rig.fills, [{ epoch: EPOCH, from: 11, to: 25 }])
  for (let i = 0; i < 5; i++) await take()
  rig.data(26)
  for (let seq = 11; seq <= 20; seq++) {
    rig.data(seq)
    await take()
  }
  for (let seq = 21; seq <= 25; seq++) rig.data(seq)
  rig.tell('replay_completed', { epoch: EPOCH, from: 11, to: 25, digest: '' })
  for (let i = 0; i < 6; i++) await take()
  t.same(
    taken,
    Array.from({ length: 26 }, (_, i) => i + 1),
  )
  t.match(rig.stats, { missed: 15, filled: 15 })
  await events.return(undefined)
  t.equal(rig.subscription.isClosed, true, 'who leaves the loop unsubscribes')
})

t.test('closing ends the reader that waits; a second reader is refused', async (t) => {
  const rig = new Rig({ iterates: true })
  const one = rig.subscription.events()
  await one.next()
  const waits = one.next()
  await t.rejects(rig.subscription.events().next(), /one reader/)
  rig.subscription.close()
  t.match(await waits, { done: true })
})

/** STREAM ends before `wasSeq`; stream 4 goes on from `fromSeq`. */
function updateAck(wasSeq: number, fromSeq: number): UpdateAck {
  const was = { stream: STREAM, next_seq: wasSeq }
  return {
    op: 'ack',
    stream: 4,
    channel: 'trades',
    epoch: EPOCH,
    from_seq: fromSeq,
    was,
    symbols: [],
  }
}

t.test('an update: the new stream goes on behind the old one, with its own sequence', async (t) => {
  const rig = new Rig()
  rig.data(1, 2)
  rig.subscription.onUpdate(updateAck(3, 913), { add: ['B'], remove: ['*'] })
  rig.data(913, 1, EPOCH, 4)
  const told = { type: 'update', epoch: EPOCH, nextSeq: 913, symbols: ['B'] }
  t.same(rig.seen, [1, 2, told, 913])
  t.same(rig.subscription.from(), { epoch: EPOCH, seq: 914 }, 'where to go on')
  t.same(rig.subscription.request.symbols, ['B'], 'with what')
  t.same(rig.fills, [])
})

t.test('what is missing at an update is filled from the old stream, in its place', async (t) => {
  const rig = new Rig()
  rig.data(1)
  rig.tell('gap', { from: 2, to: 3, cause: 'slow' })
  rig.subscription.onUpdate(updateAck(6, 913), { add: ['B'] })
  rig.data(913, 1, EPOCH, 4)
  t.same(rig.seen, [1], 'waits')
  rig.data(2, 2)
  rig.fillDone(2, 3)
  rig.data(4, 2)
  rig.fillDone(4, 5)
  const told = { type: 'update', epoch: EPOCH, nextSeq: 913, symbols: ['*', 'B'] }
  t.same(rig.seen, [1, 2, 3, 4, 5, told, 913])
  t.same(rig.fills.length, 2)
  t.same(rig.filled, [STREAM, STREAM], 'by the old id')
  t.match(rig.stats, { undeclared: 1, filled: 4, corrupt: 0 })
})

t.test('frames of the new stream are no fill of the old one, whatever their numbers', async (t) => {
  const rig = new Rig()
  rig.tell('gap', { from: 1, to: 3, cause: 'slow' })
  rig.subscription.onUpdate(updateAck(4, 1), { add: ['B'] })
  rig.data(1, 3, EPOCH, 4)
  t.same(rig.seen, [], 'held')
  rig.data(1, 3)
  rig.fillDone(1, 3)
  t.same(rig.seen.length, 7)
})

t.test('what is missing of former symbols is told when the connection has ended', async (t) => {
  const rig = new Rig()
  rig.data(1)
  rig.tell('gap', { from: 2, to: 3, cause: 'slow' })
  rig.subscription.onUpdate(updateAck(4, 913), { add: ['B'] })
  rig.data(913, 1, EPOCH, 4)
  rig.subscription.onAck(ack(914, { stream: 11 }))
  t.match(rig.seen, [1, { from: 2, to: 3, cause: 'slow' }, { type: 'update' }, 913])
  t.equal(rig.fills.length, 1, 'and not asked for')
})

t.test(
  'a reader too slow around an update has both parts asked for, each of its own',
  async (t) => {
    const rig = new Rig({ iterates: true, recordsMax: 2 })
    rig.data(1, 2)
    rig.data(3, 2)
    rig.subscription.onUpdate(updateAck(5, 913), { add: ['B'] })
    rig.data(913, 2, EPOCH, 4)
    t.same(rig.fills, [{ epoch: EPOCH, from: 3, to: 4 }])
    t.same(rig.filled, [STREAM])
  },
)

t.test(
  'a replay by time that was cut before it began is asked for by the time again',
  async (t) => {
    const rig = new Rig()
    const { subscription } = rig
    subscription.request = { channel: 'trades', from: { ts: '2024-08-08T23:54:15Z' } }
    subscription.onAck(ack(null, { replay: true, epoch: 9 }))
    t.same(subscription.from(), { ts: '2024-08-08T23:54:15Z' })
    rig.tell('epoch', { epoch: 5, next_seq: 100 })
    t.same(subscription.from(), { epoch: 5, seq: 100 })
  },
)
