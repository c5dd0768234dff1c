// The instrument table on one thread: ids, aliases, limits, what another attachment sees.

import t from 'tap'
import { CACHE_ISOLATION_BYTES, INSTRUMENT_NAME_BYTES_MAX } from '../../../src/limits.ts'
import { INSTRUMENT_WORD, instrumentTableLayout } from '../../../src/tick/instrument-layout.ts'
import { type Instrument, InstrumentTable } from '../../../src/tick/instruments.ts'

const CAPACITY = 64

function createTable(capacity = CAPACITY) {
  const memory = InstrumentTable.create(capacity)
  const added: Instrument[] = []
  const table = new InstrumentTable(memory, capacity, (instrument) => added.push(instrument))
  return { memory, table, added }
}

t.test('shared words are apart, and the parts do not overlap', async (t) => {
  const lines = Object.values(INSTRUMENT_WORD).map((word) =>
    Math.floor((word * 4) / CACHE_ISOLATION_BYTES),
  )
  t.equal(new Set(lines).size, lines.length)
  const layout = instrumentTableLayout(CAPACITY)
  t.ok(Math.max(...Object.values(INSTRUMENT_WORD)) * 4 < layout.slots)
  t.equal(layout.names - layout.slots, layout.slotCount * 4)
  t.equal((layout.instruments - layout.names) % layout.nameCount, 0)
  t.ok(layout.slotCount >= 2 * layout.nameCount, 'half of the slots stay free')
})

t.test('ids begin at 1 and go up by one; the same name has the same id', async (t) => {
  const { table, added } = createTable()
  t.equal(table.count, 0)
  t.equal(table.add('v', 'A'), 1)
  t.equal(table.add('v', 'B'), 2)
  t.equal(table.add('v', 'A'), 1)
  t.equal(table.count, 2)
  t.equal(table.idOf('v', 'B'), 2)
  t.equal(table.idOf('v', 'C'), 0)
  t.equal(added.length, 2)
})

t.test('names are a venue’s own: no two spellings run together', async (t) => {
  const { table } = createTable()
  const ids = [
    table.add('ab', 'c'),
    table.add('a', 'bc'),
    table.add('abc', 'd'),
    table.add('b', 'c'),
    table.add('ab', 'C'),
  ]
  t.same(ids, [1, 2, 3, 4, 5])
  t.equal(table.idOf('ab', 'c'), 1)
  t.equal(table.idOf('a', 'bc'), 2)
})

t.test('the venue’s spelling resolves to the same instrument', async (t) => {
  const { table, added } = createTable()
  const id = table.add('binance', 'BTC-USDT', 'BTCUSDT')
  t.equal(table.idOf('binance', 'BTC-USDT'), id)
  t.equal(table.idOf('binance', 'BTCUSDT'), id)
  t.equal(table.add('binance', 'BTC-USDT', 'BTCUSDT'), id)
  t.same(table.get(id), { id, venue: 'binance', symbol: 'BTC-USDT', venueSymbol: 'BTCUSDT' })
  t.equal(added.length, 1)
})

t.test('an alias that comes later is added to the instrument, and told', async (t) => {
  const { table, added } = createTable()
  t.equal(table.add('v', 'BTC-USDT'), 1)
  t.equal(table.add('v', 'BTC-USDT', 'BTCUSDT'), 1)
  t.equal(table.idOf('v', 'BTCUSDT'), 1)
  t.equal(table.count, 1)
  t.same(
    added.map(({ id, venueSymbol }) => [id, venueSymbol]),
    [
      [1, 'BTC-USDT'],
      [1, 'BTCUSDT'],
    ],
  )
})

t.test('find works on ranges of bytes', async (t) => {
  const { table } = createTable()
  const id = table.add('venue', 'SYMBOL')
  const venue = new TextEncoder().encode('xxvenuexx')
  const symbol = new TextEncoder().encode('{"s":"SYMBOL"}')
  t.equal(table.find(venue, 2, 7, symbol, 6, 12), id)
  t.equal(table.find(venue, 2, 7, symbol, 6, 11), 0)
  t.equal(table.find(venue, 1, 7, symbol, 6, 12), 0)
})

t.test('names that are empty or too long are refused, and change nothing', async (t) => {
  const { table, added } = createTable()
  const longest = 'x'.repeat(INSTRUMENT_NAME_BYTES_MAX - 1)
  t.equal(table.add('v', ''), 0)
  t.equal(table.add('', 'A'), 0)
  t.equal(table.add('v', 'A', ''), 0)
  t.equal(table.add('v', `${longest}x`), 0)
  t.equal(table.add('v', 'A', `${longest}x`), 0)
  t.equal(table.add('v', 'ü'.repeat(INSTRUMENT_NAME_BYTES_MAX / 2)), 0, 'bytes, not letters')
  t.equal(table.count, 0)
  t.equal(added.length, 0)
  t.equal(table.add('v', longest), 1)
  t.equal(table.get(1)?.symbol, longest)
})

t.test('any text is a name', async (t) => {
  const { table } = createTable()
  for (const [i, name] of ['ü-€-漢', '"quoted"', 'line\nbreak', '\u0000', ' '].entries()) {
    t.equal(table.add('värld', name), i + 1)
    t.equal(table.get(i + 1)?.symbol, name)
    t.equal(table.get(i + 1)?.venue, 'värld')
  }
})

t.test('a full table refuses new instruments and still knows the old ones', async (t) => {
  const { table, added } = createTable()
  for (let i = 0; i < CAPACITY; i++) t.equal(table.add('v', `S${i}`, `v${i}`), i + 1)
  t.equal(table.add('v', 'one too many'), 0)
  t.equal(table.count, CAPACITY)
  t.equal(added.length, CAPACITY)
  t.equal(table.add('v', 'S5', 'v5'), 6)
  t.equal(table.add('v', 'S5', 'third name'), 0, 'no room for a third name')
  for (let i = 0; i < CAPACITY; i++) t.equal(table.idOf('v', `v${i}`), i + 1)
})

t.test('what one attachment adds another sees', async (t) => {
  const { memory, table } = createTable()
  const other = new InstrumentTable(memory, CAPACITY)
  t.equal(other.get(1), undefined)
  table.add('v', 'A', 'a')
  t.same(other.get(1), { id: 1, venue: 'v', symbol: 'A', venueSymbol: 'a' })
  t.equal(other.add('v', 'B'), 2)
  t.equal(table.idOf('v', 'B'), 2)
  t.equal(table.get(3), undefined)
  t.equal(table.get(0), undefined)
  t.equal(table.get(-1), undefined)
})

t.test(
  'an instrument that cannot be made durable is not added, and the lock is free again',
  async (t) => {
    const memory = InstrumentTable.create(CAPACITY)
    let refuse = true
    const table = new InstrumentTable(memory, CAPACITY, () => {
      if (refuse) throw new Error('disk full')
    })
    t.throws(() => table.add('v', 'A'), /disk full/)
    t.equal(table.count, 0)
    t.equal(table.idOf('v', 'A'), 0)
    refuse = false
    t.equal(table.add('v', 'B'), 1)
    t.equal(table.add('v', 'A'), 2)
  },
)
