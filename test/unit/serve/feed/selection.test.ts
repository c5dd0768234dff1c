import t from 'tap'
import { byPattern, Selection } from '../../../../src/serve/feed/selection.ts'
import { wildcardMatches } from '../../../../src/serve/wildcard.ts'
import type { Instrument } from '../../../../src/tick/instruments.ts'

const instrument = (venue: string, symbol: string, id = 1): Instrument => ({
  id,
  venue,
  symbol,
  venueSymbol: symbol.replaceAll('-', ''),
})
const BTC = instrument('binance', 'BTC-USDT')

t.test('a name is canonical or the venue’s own, on all venues or on one', (t) => {
  for (const [pattern, matches] of [
    ['BTC-USDT', true],
    ['BTCUSDT', true],
    ['binance:BTC-USDT', true],
    ['binance:BTCUSDT', true],
    ['kraken:BTC-USDT', false],
    ['btc-usdt', false],
    ['BTC-USD', false],
    ['BTC-*', true],
    ['*-USDT', true],
    ['*', true],
    ['binance:*', true],
    ['bin*:BTC-*', true],
    ['kraken:*', false],
    ['*C-U*', true],
    ['ETH-*', false],
    ['BTCU*', false],
  ] as const) {
    t.equal(new Selection([pattern]).matches(BTC), matches, pattern)
  }
  t.end()
})

t.test('equal sets of patterns have one key; all instruments swallow the rest', (t) => {
  const key = (...patterns: string[]) => new Selection(patterns).key
  t.equal(key('A', 'B'), key('B', 'A', 'B'))
  t.not(key('A', 'B'), key('A B'))
  t.not(key('A', 'B'), key('A,B'))
  t.equal(key('A', '*', 'B'), key('*'))
  t.end()
})

t.test('each pattern is told which instruments it names', (t) => {
  const same = instrument('binance', 'PLAIN', 3)
  const named = byPattern(['BTCUSDT', 'PLAIN', '*', 'NONE'], [BTC, same])
  t.same(
    [...named].map(([pattern, found]) => [pattern, found.map(({ symbol }) => symbol)]),
    [
      ['BTCUSDT', ['BTC-USDT']],
      ['PLAIN', ['PLAIN']],
      ['*', ['BTC-USDT', 'PLAIN']],
      ['NONE', []],
    ],
    'once each, even where the canonical and the venue’s name are the same',
  )
  t.end()
})

t.test('wildcards match as they should, and no pattern takes for ever', (t) => {
  t.ok(wildcardMatches('', ''))
  t.notOk(wildcardMatches('', 'a'))
  t.ok(wildcardMatches('**', ''))
  t.ok(wildcardMatches('a*b*c', 'aXbXbXc'))
  t.notOk(wildcardMatches('a*b*c', 'aXbX'))
  t.ok(wildcardMatches('*a', 'aaa'))
  t.notOk(wildcardMatches('a.c', 'abc'), 'nothing but * is special')
  const startMs = performance.now()
  t.notOk(wildcardMatches(`${'*a'.repeat(40)}b`, 'a'.repeat(84)))
  t.ok(performance.now() - startMs < 100)
  t.end()
})
