// The record's layout: 64 bytes, every byte of them some field's, no field across another.

import t from 'tap'
import { TickBatch } from '../../../src/tick/batch.ts'
import {
  ACTION,
  ACTION_NAMES,
  FIELDS,
  FLAG,
  KIND,
  KIND_COUNT,
  KIND_NAMES,
  MARKET,
  MARKET_NAMES,
  NULL_HI,
  NULL_LO,
  OFFSET,
  PAYLOAD,
  SIDE,
  SIDE_NAMES,
  STATUS,
  STATUS_NAMES,
  TICK_BYTES,
  TICK_WORDS,
  WORD,
} from '../../../src/tick/layout.ts'

t.test('offsets and widths are those of the documented picture', async (t) => {
  t.same(OFFSET, {
    ts_event: 0,
    ts_recv: 8,
    instrument: 16,
    source: 20,
    kind: 22,
    side: 23,
    flags: 24,
    action: 26,
    market: 27,
    interval: 28,
    reserved: 30,
    p0: 32,
    p1: 40,
    p2: 48,
    p3: 56,
  })
  t.equal(TICK_BYTES, 64)
  t.equal(TICK_WORDS, 16)
})

t.test('every byte belongs to one field, and each field lies on its own width', async (t) => {
  const owner = new Array<string>(TICK_BYTES).fill('')
  for (const [name, width] of FIELDS) {
    t.equal(OFFSET[name] % width, 0, `${name} is aligned`)
    for (let i = 0; i < width; i++) {
      t.equal(owner[OFFSET[name] + i], '', `byte ${OFFSET[name] + i} is only ${name}'s`)
      owner[OFFSET[name] + i] = name
    }
  }
  t.notOk(owner.includes(''), 'no padding')
})

t.test('word indexes are the offsets of their fields', async (t) => {
  for (const [name, word] of Object.entries(WORD)) {
    t.equal(word * 4, OFFSET[name as keyof typeof WORD], name)
  }
})

t.test('names and numbers of each list agree', async (t) => {
  const lists: [Readonly<Record<string, number>>, readonly (string | undefined)[]][] = [
    [KIND, KIND_NAMES],
    [SIDE, SIDE_NAMES],
    [ACTION, ACTION_NAMES],
    [STATUS, STATUS_NAMES],
  ]
  for (const [numbers, names] of lists) {
    for (const [name, number] of Object.entries(numbers)) t.equal(names[number], name)
    t.equal(names.filter((name) => name !== undefined).length, Object.keys(numbers).length)
  }
  for (const [name, number] of Object.entries(MARKET)) {
    t.equal(MARKET_NAMES[number], name.replace('_', '-'))
  }
  t.equal(KIND_NAMES.length, KIND_COUNT)
  t.same(Object.keys(PAYLOAD), Object.keys(KIND), 'each kind says what its payload means')
})

t.test('flags are single bits of sixteen, none twice', async (t) => {
  let all = 0
  for (const bit of Object.values(FLAG)) {
    t.equal(bit & (bit - 1), 0)
    t.equal(all & bit, 0)
    all |= bit
  }
  t.ok(all < 2 ** 16)
})

t.test('the null is the least i64', async (t) => {
  const words = new Int32Array([NULL_LO, NULL_HI])
  t.equal(new BigInt64Array(words.buffer)[0], -(2n ** 63n))
})

t.test('the machine is little-endian, as the layout is', async (t) => {
  const batch = new TickBatch(1)
  batch.setInstrument(0, 0x01020304)
  t.same([...batch.bytes.slice(OFFSET.instrument, OFFSET.instrument + 4)], [4, 3, 2, 1])
})
