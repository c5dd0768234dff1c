import t from 'tap'
import { FRAME_FLAG } from '../../../src/ring/frame-ring.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { writeInteger, writeNull, writeSplit } from '../../../src/tick/fixed-point.ts'
import {
  ACTION,
  FLAG,
  KIND,
  MARKET,
  OFFSET,
  SIDE,
  STATUS,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../../../src/tick/layout.ts'
import { DecodeRig, MARGIN_BYTES, RECV_TEXT } from '../../support/decode-rig.ts'

function rigWithInstrument(): DecodeRig {
  const rig = new DecodeRig('packed')
  rig.instruments.add('v', 's')
  return rig
}

/** Well-formed ticks, one a kind; `change` may spoil them. */
function ticks(count: number, change?: (batch: TickBatch, index: number) => void): Uint8Array {
  const batch = new TickBatch(count)
  for (let i = 0; i < count; i++) {
    const at = i * TICK_WORDS
    writeSplit(batch.words, at + WORD.ts_event, false, 1723161200, i)
    writeSplit(batch.words, at + WORD.ts_recv, true, 1, 1)
    batch.setInstrument(i, 1)
    batch.setSource(i, 999)
    batch.setFlags(i, FLAG.LAST | FLAG.LATE)
    const kind = 1 + (i % 5)
    batch.setKindSide(i, kind, kind === KIND.trade || kind === KIND.book ? SIDE.sell : 0)
    if (kind === KIND.book) batch.setAction(i, ACTION.set)
    if (kind === KIND.status) batch.setAction(i, STATUS.halted)
    if (kind === KIND.price) batch.setMarket(i, MARKET.real_time, 5)
    for (let p = 0; p < 4; p++) writeInteger(batch.words, at + WORD.p0 + 2 * p, i + p)
    change?.(batch, i)
  }
  return batch.bytes
}

t.test('ticks of every kind are taken; receive time and source are ours', async (t) => {
  const rig = rigWithInstrument()
  rig.meta.flags = FRAME_FLAG.REPLAYED
  const records = rig.send(ticks(5))
  t.same(
    records.map((record) => record.type),
    ['trade', 'quote', 'book', 'price', 'status'],
  )
  t.match(records[0], {
    ts_event: '2024-08-08T23:53:20.000000000Z',
    ts_recv: RECV_TEXT,
    flags: ['last', 'replayed'],
  })
  t.equal(rig.batch.source(4), 3)
  t.equal(rig.payload(4, 3), 7)
  t.same(rig.counts, {
    messages: 5,
    decoded: 5,
    'event trade': 1,
    'event quote': 1,
    'event book': 1,
    'event price': 1,
    'event status': 1,
  })
  t.same([...rig.tally.origins.slice(8, 10)], [MARGIN_BYTES + 4 * 64, MARGIN_BYTES + 5 * 64])
})

t.test('a frame that is no whole number of ticks is one rejected message', async (t) => {
  const rig = rigWithInstrument()
  for (const size of [0, 1, 63, 65, 5 * 64 - 1]) {
    t.equal(rig.outcome(ticks(5).slice(0, size)), 'rejected bad_packed', `${size} bytes`)
  }
})

t.test('a bad tick is rejected and its neighbours are not', async (t) => {
  const rig = rigWithInstrument()
  const spoil = (index: number, offset: number, value: number) =>
    ticks(5, (batch, i) => {
      if (i === index) batch.bytes[i * TICK_BYTES + offset] = value
    })
  const spoiled: [name: string, frame: Uint8Array][] = [
    ['kind 0', spoil(0, OFFSET.kind, 0)],
    ['kind 6', spoil(0, OFFSET.kind, 6)],
    ['reserved', spoil(1, OFFSET.reserved + 1, 1)],
    ['an unknown flag', spoil(1, OFFSET.flags + 1, 0x80)],
    ['no instrument', spoil(1, OFFSET.instrument, 0)],
    ['an unknown instrument', spoil(1, OFFSET.instrument, 2)],
    ['a huge instrument', spoil(1, OFFSET.instrument + 3, 0xff)],
    ['a trade with side 3', spoil(0, OFFSET.side, 3)],
    ['a trade with an action', spoil(0, OFFSET.action, 1)],
    ['a trade with a market', spoil(0, OFFSET.market, 1)],
    ['a quote with a side', spoil(1, OFFSET.side, 1)],
    ['a quote with an interval', spoil(1, OFFSET.interval, 1)],
    ['a book without action', spoil(2, OFFSET.action, 0)],
    ['a book with action 4', spoil(2, OFFSET.action, 4)],
    ['a book without side', spoil(2, OFFSET.side, 0)],
    ['a price with market 4', spoil(3, OFFSET.market, 4)],
    ['a price with a side', spoil(3, OFFSET.side, 1)],
    ['a status of none', spoil(4, OFFSET.action, 0)],
    ['a status of 5', spoil(4, OFFSET.action, 5)],
  ]
  for (const [name, frame] of spoiled) {
    t.equal(rig.outcome(frame), 'rejected bad_packed', name)
    t.equal(rig.batch.count, 4, name)
    t.equal(rig.rejects.length, 1)
  }
})

t.test('times before 1970, and none at all, are rejected', async (t) => {
  const rig = rigWithInstrument()
  const times: ((batch: TickBatch) => void)[] = [
    (batch) => writeSplit(batch.words, WORD.ts_event, true, 0, 1),
    (batch) => writeNull(batch.words, WORD.ts_event),
  ]
  for (const change of times) {
    t.equal(rig.outcome(ticks(1, change)), 'rejected bad_time')
  }
})

t.test('a book may be cleared without a side', async (t) => {
  const rig = rigWithInstrument()
  const frame = ticks(1, (batch) => {
    batch.setKindSide(0, KIND.book, SIDE.none)
    batch.setAction(0, ACTION.clear)
  })
  t.equal(rig.outcome(frame), 'decoded')
})

t.test('records beyond the batch are rejected one by one', async (t) => {
  const rig = new DecodeRig('packed', { batchCapacity: 3 })
  rig.instruments.add('v', 's')
  t.equal(rig.send(ticks(5)).length, 3)
  t.equal(rig.counts['rejected too_many_records'], 2)
})
