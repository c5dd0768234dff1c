import t from 'tap'
import { canonicalSymbol, venueSymbol } from '../../../src/tick/symbols.ts'

const cases: readonly [venue: string, venueSymbol: string, symbol: string][] = [
  ['binance', 'BTCUSDT', 'BTC-USDT'],
  ['binance', 'NKNUSDT', 'NKN-USDT'],
  ['binance', 'LRCBTC', 'LRC-BTC'],
  ['binance', 'RUNEEUR', 'RUNE-EUR'],
  ['binance', 'BTCFDUSD', 'BTC-FDUSD'],
  ['binance', 'WBTCBTC', 'WBTC-BTC'],
  ['binance', 'USDTTRY', 'USDT-TRY'],
  ['binance', '1000SATSUSDT', '1000SATS-USDT'],
  ['binance-us', 'BTCUSD', 'BTC-USD'],
  ['binance-us', 'DOTUSD', 'DOT-USD'],
  ['binance-us', 'BNBUSD', 'BNB-USD'],
  ['binance-us', 'USDTUSD', 'USDT-USD'],
  ['binance-usdm', 'BTCUSDT', 'BTC-USDT-PERP'],
  ['binance-usdm', 'ETHUSDC', 'ETH-USDC-PERP'],
  ['binance-usdm', 'BTCUSDT_240927', 'BTC-USDT-240927'],
]

t.test('each venue splits its own spelling, and joins it again', async (t) => {
  for (const [venue, own, canonical] of cases) {
    t.equal(canonicalSymbol(venue, own), canonical, `${venue} ${own}`)
    t.equal(venueSymbol(venue, canonical), own, `${venue} ${canonical}`)
  }
})

t.test('a spelling that no rule splits stays as it is', async (t) => {
  t.equal(canonicalSymbol('binance', 'USDT'), 'USDT', 'a quote asset alone has no base')
  t.equal(canonicalSymbol('binance', 'FOOBAR'), 'FOOBAR')
  t.equal(canonicalSymbol('binance-usdm', 'DEFI_24'), 'DEFI_24', 'no delivery date')
  t.equal(canonicalSymbol('elsewhere', 'BTCUSDT'), 'BTCUSDT', 'a venue without a rule')
  t.equal(venueSymbol('elsewhere', 'BTC-USDT'), 'BTC-USDT')
})

t.test('the venue’s own spelling and lower case are taken as they come', async (t) => {
  t.equal(venueSymbol('binance-us', 'BTCUSDT'), 'BTCUSDT')
  t.equal(venueSymbol('binance-us', 'btc-usdt'), 'BTCUSDT')
  t.equal(venueSymbol('binance-usdm', 'BTC-USDT'), 'BTCUSDT', 'the perpetual may be unsaid')
  t.equal(venueSymbol('binance-usdm', 'BTCUSDT_240927'), 'BTCUSDT_240927')
})
