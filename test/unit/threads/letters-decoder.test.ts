// What dead letters are under the code and configuration of today.

import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { QUARANTINE_REASONS, REJECT_REASONS } from '../../../src/ledger/reasons.ts'
import { FRAME_FORMAT } from '../../../src/ring/frame-format.ts'
import { LettersDecoder } from '../../../src/threads/letters-decoder.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { readNumber } from '../../../src/tick/fixed-point.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import { FLAG, KIND, TICK_BYTES, WORD } from '../../../src/tick/layout.ts'
import type { DeadLetter } from '../../../src/validate/dead-letter-reader.ts'
import type { Reading } from '../../../src/validate/dead-letter-replay.ts'
import { tickOf } from '../../support/letters.ts'

const RECV_NS = 1_767_323_045_000_000_007n
const config = configSchema.parse({
  sources: [
    { name: 'first', type: 'http' },
    { name: 'venue', type: 'binance', venue: 'binance-us', symbols: ['BTC-USDT'] },
    { name: 'push', type: 'tcp' },
  ],
  validate: { price_max: 1000 },
})
const instruments = new InstrumentTable(InstrumentTable.create(16), 16)
instruments.add('x', 'A-B')
const decoder = new LettersDecoder({ config, instruments })

function letter(message: string, fields: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: 'shard-0.1.0',
    file: '',
    offset: 0,
    stage: 'decode',
    reason: REJECT_REASONS[0],
    source: 9,
    sourceName: 'push',
    format: FRAME_FORMAT.ndjson,
    instrument: 0,
    recvNs: RECV_NS,
    detail: '',
    origin: 0,
    ordinal: 0,
    record: undefined,
    bytes: Buffer.from(message),
    cutBytes: 0,
    ...fields,
  }
}

function trade(price: string): string {
  const what = { type: 'trade', venue: 'x', symbol: 'A-B', side: 'buy', price, size: '1' }
  return JSON.stringify({ ...what, ts_event: '2026-01-02T03:04:05Z' })
}

/** The records of a reading, as a batch. */
function batchOf(reading: Reading): TickBatch {
  if (reading.is !== 'records') throw new Error(`${reading.is}: ${reading.why}`)
  const batch = new TickBatch(reading.ticks.length / TICK_BYTES)
  batch.bytes.set(reading.ticks)
  return batch
}

t.test('a message that decodes now is its records, of the source as it is numbered now', (t) => {
  const batch = batchOf(decoder.read(letter(trade('3.5'))))
  t.equal(batch.capacity, 1)
  t.equal(batch.source(0), 2)
  t.equal(batch.instrument(0), 1)
  t.ok(batch.flags(0) & FLAG.REPLAYED)
  t.equal(readNumber(batch.words, WORD.p0), 3.5e9)
  const times = new BigInt64Array(batch.bytes.buffer)
  t.equal(times[WORD.ts_recv / 2], RECV_NS, 'received when it was received')
  t.end()
})

t.test('what is refused, ignored or cannot be driven says why', (t) => {
  const read = (message: string, fields: Partial<DeadLetter> = {}) =>
    decoder.read(letter(message, fields))
  t.same(read('no json'), { is: 'refused', why: 'bad_json' })
  t.same(read('{}', { format: 99 }), { is: 'refused', why: 'unknown_format' })
  t.same(read(''), { is: 'ignored', why: 'empty' })
  t.same(read(trade('1'), { sourceName: 'gone' }), { is: 'skipped', why: 'unknown_source' })
  t.same(read(trade('1'), { sourceName: '' }), { is: 'skipped', why: 'unknown_source' })
  t.same(read(trade('1').slice(0, 9), { cutBytes: 70 }), { is: 'skipped', why: 'cut' })
  t.end()
})

t.test('a depth update is decoded by itself, each time as if it were the first', (t) => {
  const data = { e: 'depthUpdate', E: 1, s: 'BTCUSDT', U: 5, u: 6, b: [['1', '2']], a: [] }
  const stream = JSON.stringify({ stream: 'btcusdt@depth', data })
  const binance = { sourceName: 'venue', format: FRAME_FORMAT.binance }
  for (let i = 0; i < 2; i++) {
    const batch = batchOf(decoder.read(letter(stream, binance)))
    t.same([batch.capacity, batch.kind(0), batch.source(0)], [1, KIND.book, 1])
  }
  t.end()
})

t.test('a quarantined record is judged by the rules of today', (t) => {
  const fields = { stage: 'validate', reason: QUARANTINE_REASONS[0] } as const
  const record = batchOf(decoder.read(letter(trade('7')))).bytes
  const still = decoder.read(letter(trade('5000'), { ...fields, record }))
  t.same(still, { is: 'refused', why: 'price_out_of_range' }, 'decoded anew, and refused')
  const batch = batchOf(decoder.read(letter(trade('8'), { ...fields, record })))
  t.equal(readNumber(batch.words, WORD.p0), 8e9, 'the message counts, not the record of then')
  const broken = decoder.read(letter('{', { ...fields, record }))
  t.same(broken, { is: 'refused', why: 'bad_json' })
  const cut = batchOf(decoder.read(letter('{', { ...fields, record, cutBytes: 5 })))
  t.equal(readNumber(cut.words, WORD.p0), 7e9, 'of a cut message, the record of then')
  const other = decoder.read(letter(trade('8'), { ...fields, record, ordinal: 3 }))
  t.equal(readNumber(batchOf(other).words, WORD.p0), 7e9, 'and of one that has no such record')
  t.end()
})

t.test('a record that a store refused is driven as it was', (t) => {
  const record = Uint8Array.from(tickOf(900_000_000_000, 0))
  const fields = { stage: 'store', reason: 'refused_by_postgres', record } as const
  const batch = batchOf(decoder.read(letter('', fields)))
  t.equal(batch.source(0), 2)
  t.equal(readNumber(batch.words, WORD.p0), 900_000_000_000)
  t.ok(batch.flags(0) & FLAG.REPLAYED)
  t.end()
})
