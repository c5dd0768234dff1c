import t from 'tap'
import {
  type Batch,
  Book,
  type BookFeed,
  type BookLevel,
  Books,
  followBooks,
  type Gap,
  type Handlers,
  type SubscribeRequest,
  type Subscription,
} from '../../../client/index.ts'

function level(
  side: BookLevel['side'],
  price: string | null,
  size: string | null,
  more: Partial<BookLevel> = {},
): BookLevel {
  return {
    type: 'book',
    venue: 'test',
    symbol: 'BTC-USDT',
    ts_event: null,
    ts_recv: null,
    flags: ['last'],
    side,
    price,
    size,
    action: size === null ? 'delete' : 'set',
    ...more,
  }
}
const clear = (side: BookLevel['side']) => level(side, null, null, { action: 'clear', flags: [] })

t.test('levels stand in order, best first, and are replaced and deleted by price', async (t) => {
  const book = new Book()
  for (const price of ['10', '12', '11', '9.5']) book.apply(level('buy', price, '1'))
  for (const price of ['15', '13', '14']) book.apply(level('sell', price, '2'))
  t.same(
    book.bids.map(({ price }) => price),
    ['12', '11', '10', '9.5'],
  )
  t.same(
    book.asks.map(({ price }) => price),
    ['13', '14', '15'],
  )
  book.apply(level('buy', '11', '7'))
  book.apply(level('buy', '12', null))
  book.apply(level('buy', '8', null))
  t.same(
    book.bids.map(({ price, size }) => [price, size]),
    [
      ['11', '7'],
      ['10', '1'],
      ['9.5', '1'],
    ],
  )
})

t.test('a book is whole behind its image, and not after a gap', async (t) => {
  const book = new Book()
  t.equal(book.apply(level('buy', '10', '1')), true)
  t.equal(book.isWhole, false)
  t.equal(book.apply(clear('none')), false, 'an event goes on until its last record')
  t.same([book.bids.length, book.asks.length], [0, 0])
  book.apply(level('buy', '10', '1', { flags: ['snapshot'] }))
  t.equal(book.isWhole, false)
  book.apply(level('sell', '11', '1', { flags: ['last', 'snapshot'] }))
  t.equal(book.isWhole, true)
  book.doubt()
  t.equal(book.isWhole, false)
})

t.test('a crossed book says so', async (t) => {
  const book = new Book()
  book.apply(level('buy', '10', '1'))
  t.equal(book.isCrossed, false, 'one side alone crosses nothing')
  book.apply(level('sell', '10', '1'))
  t.equal(book.isCrossed, true)
  book.apply(level('sell', '10', null))
  book.apply(level('sell', '10.5', '1'))
  t.equal(book.isCrossed, false)
})

t.test('one side can be cleared alone', async (t) => {
  const book = new Book()
  book.apply(level('buy', '10', '1'))
  book.apply(level('sell', '11', '1'))
  book.apply(clear('sell'))
  t.same([book.bids.length, book.asks.length], [1, 0])
})

t.test('books are kept apart by instrument, and doubted together', async (t) => {
  const books = new Books()
  const image: Partial<BookLevel> = { flags: ['snapshot', 'last'] }
  t.ok(books.apply(level('buy', '10', '1', image)))
  t.ok(books.apply(level('buy', '20', '1', { ...image, symbol: 'ETH-USDT' })))
  t.equal(books.apply(level('buy', '21', '1', { flags: [] })), undefined, 'in mid-event')
  t.same(books.names(), ['test:BTC-USDT', 'test:ETH-USDT'])
  t.equal(books.get('test:ETH-USDT')?.bids[0]?.price, '20')
  books.doubt()
  t.same(
    books.names().map((name) => books.get(name)?.isWhole),
    [false, false],
  )
})

t.test('a book that is followed is told while it is right, and once when it is not', async (t) => {
  let handlers: Handlers = {}
  const requests: SubscribeRequest[] = []
  const instruments = [{ id: 4, venue: 'test', symbol: 'BTC-USDT' }]
  const feed: BookFeed = {
    subscribe(request, own) {
      requests.push(request)
      handlers = own
      return { ack: { symbols: [{ instruments }] } } as unknown as Subscription
    },
  }
  const told: string[] = []
  followBooks(feed, { symbols: ['*'], depth: 5 }, () => {})
  followBooks(feed, {}, (name, book) => {
    told.push(`${name} ${book === undefined ? '-' : book.bids.map(({ price }) => price)}`)
  })
  t.same(requests, [
    { channel: 'book.5', from: 'snapshot', symbols: ['*'] },
    { channel: 'book', from: 'snapshot' },
  ])
  const send = (...records: BookLevel[]) => {
    handlers.batch?.({ count: records.length, record: (i: number) => records[i] } as Batch)
    return told.splice(0)
  }
  const after = (what: () => void) => {
    what()
    return told.splice(0)
  }
  const image = () => send(clear('none'), level('buy', '10', '1'))
  t.same(send(level('buy', '10', '1')), [], 'not before an image')
  t.same(image(), ['test:BTC-USDT 10'])
  t.same(send(level('buy', '11', '1', { flags: [] })), [], 'amid an event')
  t.same(send(level('buy', '9', '1')), ['test:BTC-USDT 11,10,9'])
  t.same(send(level('sell', '11', '1')), ['test:BTC-USDT -'], 'crossed')
  const gap = (cause: string, more: object = {}) =>
    after(() => handlers.gap?.({ cause, message: { op: 'gap', ...more } } as Gap))
  const lost: [string, () => string[]][] = [
    ['a gap', () => gap('slow')],
    ['a hole of its own', () => gap('upstream', { instrument: 4 })],
    ['a hole of who knows what', () => gap('upstream', { instrument: 99 })],
    ['a new epoch', () => after(() => handlers.epoch?.(2, 1))],
    [
      'the word of the server',
      () => {
        const broken = { stream: 1, nextSeq: 5, name: 'book_gap', code: 5001, instruments }
        return after(() => handlers.broken?.(broken))
      },
    ],
  ]
  for (const [what, lose] of lost) {
    t.same(image(), ['test:BTC-USDT 10'])
    t.same(lose(), ['test:BTC-USDT -'], what)
    t.same(lose(), [], 'once')
    t.same(send(level('buy', '9', '1')), [], 'until the next image')
  }
  t.same(image(), ['test:BTC-USDT 10'])
  t.same(gap('conflated'), [], 'an image follows')
})
