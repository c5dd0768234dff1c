// The symbol cache says nothing rather than something wrong: for each symbol in a random order, 0
// or the instrument that the same bytes were last given.

import t from 'tap'
import { SymbolCache } from '../../../src/decode/symbol-cache.ts'

/** The quoted symbol at offset 8 of a message, `tail` behind it, and room enough to look it up. */
function message(symbol: string, tail = '","t":1}'): { view: DataView; size: number } {
  const bytes = Buffer.alloc(96, 0x20)
  bytes.write(`"${symbol}${tail}`, 8)
  return {
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    size: symbol.length + 2,
  }
}

t.test('a symbol is known by all its bytes, up to its closing quote', async (t) => {
  const cache = new SymbolCache()
  const symbols = ['B', 'BTC', 'BTCUSDT', 'BTCUSDTX', 'BTCUSDTXY', 'BTCUSDTXYZ', 'BTCUSDTXYZZ']
  symbols.forEach((symbol, i) => {
    const { view, size } = message(symbol)
    t.equal(cache.find(view, 8), 0)
    cache.remember(view, 8, size, i + 1)
    t.equal(cache.find(view, 8), i + 1)
    t.equal(cache.size, size)
    t.not(cache.find(message(`${symbol}A`).view, 8), i + 1, 'longer by one')
    t.not(cache.find(message(symbol.slice(0, -1)).view, 8), i + 1, 'shorter by one')
  })
})

t.test('what it finds among thousands of symbols is right', async (t) => {
  const cache = new SymbolCache()
  let found = 0
  for (let i = 0; i < 20_000; i++) {
    const instrument = 1 + ((i * 7919) % 3000)
    const { view, size } = message(`S${instrument * 104_729}USDT`)
    const known = cache.find(view, 8)
    if (known !== 0) {
      found++
      if (known !== instrument || cache.size !== size) t.fail(`${known} for ${instrument}`)
    }
    cache.remember(view, 8, size, instrument)
  }
  t.ok(found > 0, `${found} found`)
})

t.test('what is too long, or too near to the end of memory, is not kept', async (t) => {
  const cache = new SymbolCache()
  const long = message('X'.repeat(31))
  cache.remember(long.view, 8, long.size, 1)
  t.equal(cache.find(long.view, 8), 0)
  const { view, size } = message('ETHUSDT')
  const short = new DataView(view.buffer, view.byteOffset, 8 + 31)
  cache.remember(short, 8, size, 2)
  t.equal(cache.find(short, 8), 0)
  cache.remember(view, 8, size, 2)
  t.equal(cache.find(short, 8), 0)
  t.equal(cache.find(view, 8), 2)
})
