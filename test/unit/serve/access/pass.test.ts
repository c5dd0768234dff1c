import t from 'tap'
import { READ_ALL, readGrant } from '../../../../src/serve/access/grant.ts'
import { Pass } from '../../../../src/serve/access/pass.ts'

const pass = (symbols: string[], more = {}) =>
  new Pass({ who: 'k', grant: { ...READ_ALL, symbols, ...more } })
const names = (refusal: { error: string } | undefined) => refusal?.error

t.test('a pattern is allowed where all that it stands for is', async (t) => {
  const rows: [allowed: string, asked: string, isAllowed: boolean][] = [
    ['*', '*', true],
    ['BTC-*', 'BTC-USDT', true],
    ['BTC-*', 'BTC-*', true],
    ['BTC-*', 'BTC-U*T', true],
    ['BTC-*', 'B*', false],
    ['BTC-*', '*', false],
    ['BTC-*', 'BTC*', false],
    ['BTC-*', 'ETH-USDT', false],
    ['BTC-*', 'BTCUSDT', false],
    ['BTC-USDT', 'binance:BTC-USDT', true],
    ['binance:BTC-USDT', 'BTC-USDT', false],
    ['binance:*', 'binance:ETH-*', true],
    ['binance:*', 'binance-us:ETH-*', false],
    ['binance*:*', 'binance-us:ETH-*', true],
    ['*:BTC-*', 'BTC-USDT', true],
    ['b:*', '*:BTC-USDT', false],
  ]
  for (const [allowed, asked, isAllowed] of rows) {
    const refusal = pass([allowed]).authorize('trades', [asked], 0)
    t.equal(names(refusal), isAllowed ? undefined : 'forbidden', `${asked} of ${allowed}`)
  }
  t.equal(names(pass([]).authorize('trades', ['A'], 0)), 'forbidden', 'nothing is granted')
  t.equal(pass(['A', 'B']).authorize('trades', ['B', 'A'], 0), undefined)
  t.equal(names(pass(['A', 'B']).authorize('trades', ['B', 'C'], 0)), 'forbidden', 'each counts')
})

t.test('channels are granted by name or pattern', async (t) => {
  const some = pass(['*'], { channels: ['trades', 'bars.*'] })
  t.equal(some.authorize('trades', ['A'], 0), undefined)
  t.equal(some.authorize('bars.1m', ['A'], 0), undefined)
  t.equal(names(some.authorize('quotes', ['A'], 0)), 'forbidden')
  t.equal(names(some.authorize('bars', ['A'], 0)), 'forbidden')
  t.equal(pass(['*'], { channels: ['book'] }).authorize('book.10', ['A'], 0), undefined)
  const top = pass(['*'], { channels: ['book.10'] })
  t.equal(top.authorize('book.10', ['A'], 0), undefined)
  t.equal(names(top.authorize('book', ['A'], 0)), 'forbidden', 'a part is not the whole')
})

t.test('going back is bounded, and what nobody can tell is too far', async (t) => {
  const day = pass(['*'], { replay_ms: 86_400_000 })
  t.equal(day.authorize('trades', ['A'], 86_400_000), undefined)
  t.equal(names(day.authorize('trades', ['A'], 86_400_001)), 'forbidden')
  t.equal(names(day.authorize('trades', ['A'], Number.POSITIVE_INFINITY)), 'forbidden')
  t.equal(pass(['*']).authorize('trades', ['A'], Number.POSITIVE_INFINITY), undefined)
  t.equal(names(pass(['*'], { replay_ms: 0 }).authorize('trades', ['A'], 1)), 'forbidden')
})

t.test('a grant is read strictly, and grants nothing that it does not say', async (t) => {
  t.same(readGrant({}), {
    channels: [],
    symbols: [],
    replay_ms: 0,
    push: false,
    operate: false,
    limits: {},
  })
  for (const wrong of [
    [],
    null,
    'all',
    { chanels: ['*'] },
    { channels: '*' },
    { symbols: [1] },
    { symbols: [''] },
    { replay_ms: -1 },
    { replay_ms: 1.5 },
    { push: 'yes' },
    { limits: { connections: 0 } },
    { limits: { conections: 1 } },
    { limits: { bytes_per_second: Number.POSITIVE_INFINITY } },
  ]) {
    t.type(readGrant(wrong), 'string', JSON.stringify(wrong))
  }
})
