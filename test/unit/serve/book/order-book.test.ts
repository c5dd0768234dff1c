import t from 'tap'
import { BOOK_CAUSE, Books } from '../../../../src/serve/book/books.ts'
import { BOOK_STATE, type OrderBook } from '../../../../src/serve/book/order-book.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import { readNumber, writeInteger, writeNull } from '../../../../src/tick/fixed-point.ts'
import { ACTION, FLAG, KIND, SIDE, STATUS, TICK_WORDS, WORD } from '../../../../src/tick/layout.ts'

const { buy, sell, none } = SIDE
const { LAST, SNAPSHOT } = FLAG
const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

interface Row {
  side: number
  price?: number
  /** 0 = delete. */
  size?: number
  flags?: number
  instrument?: number
}

const clear: Row = { side: none }
const gap = 'gap'

function batchOf(rows: (Row | typeof gap)[]): TickBatch {
  const batch = new TickBatch(rows.length)
  rows.forEach((row, i) => {
    batch.count++
    const { words } = batch
    const { side, price, size, flags = 0, instrument = 1 } = row === gap ? clear : row
    batch.setInstrument(i, instrument)
    batch.setFlags(i, flags)
    batch.setKindSide(i, row === gap ? KIND.status : KIND.book, side)
    const set = size === 0 ? ACTION.delete : ACTION.set
    batch.setAction(i, row === gap ? STATUS.gap : price === undefined ? ACTION.clear : set)
    for (const word of [WORD.p0, WORD.p1, WORD.p3]) writeNull(words, i * TICK_WORDS + word)
    if (price !== undefined) writeInteger(words, i * TICK_WORDS + WORD.p0, price)
    if (size !== undefined) writeInteger(words, i * TICK_WORDS + WORD.p1, size)
  })
  return batch
}

/** Levels as [price, size], from the best. */
function levelsOf(book: OrderBook | undefined): { bids: number[][]; asks: number[][] } {
  const words = new Int32Array(TICK_WORDS)
  const side = ({ bids, asks }: OrderBook, name: 'bids' | 'asks') => {
    const own = name === 'bids' ? bids : asks
    return Array.from({ length: own.count }, (_, rank) => {
      own.read(rank, words)
      return [readNumber(words, WORD.p0), readNumber(words, WORD.p1)]
    })
  }
  if (book === undefined) return { bids: [], asks: [] }
  return { bids: side(book, 'bids'), asks: side(book, 'asks') }
}

function setUp(options: { levelsMax?: number; bytesMax?: number } = {}) {
  const wanted: number[] = []
  const books = new Books({ want: (_, instrument) => wanted.push(instrument), ...options })
  return {
    books,
    wanted,
    take: (...rows: (Row | typeof gap)[]) => books.applyAll(batchOf(rows), 0),
  }
}

/** The whole image of a book, or its best levels, as a batch. */
function imageOf(book: OrderBook, depth: number): TickBatch {
  const image = new TickBatch(book.recordCount(depth))
  book.write(depth, new TickBatch(1), (words, at) => {
    image.words.set(words.subarray(at, at + TICK_WORDS), image.count++ * TICK_WORDS)
  })
  return image
}

t.test('a book is whole at the end of the event that began with a clear', (t) => {
  const { books, wanted, take } = setUp()
  take({ side: buy, price: 9, size: 1, flags: LAST })
  t.equal(books.get(1)?.state, BOOK_STATE.unknown)
  t.same(wanted, [1], 'it asks for an image')
  t.same(levelsOf(books.get(1)), { bids: [], asks: [] }, 'and holds nothing')
  take(clear, { side: buy, price: 9, size: 2 }, { side: sell, price: 12, size: 3 })
  t.equal(books.get(1)?.state, BOOK_STATE.building)
  t.notOk(books.get(1)?.isReady)
  take({ side: buy, price: 10, size: 4, flags: LAST })
  t.ok(books.get(1)?.isReady)
  t.same(levelsOf(books.get(1)), {
    bids: [
      [10, 4],
      [9, 2],
    ],
    asks: [[12, 3]],
  })
  t.equal(books.get(1)?.changedRank, 0)
  t.equal(books.changed.length, 1)
  t.end()
})

t.test('a gap breaks the book of its instrument alone, until the next clear', (t) => {
  const { books, take, wanted } = setUp()
  for (const instrument of [1, 2]) {
    take({ ...clear, instrument }, { side: buy, price: 5, size: 1, flags: LAST, instrument })
  }
  const batch = batchOf([gap, { side: buy, price: 6, size: 1, flags: LAST }])
  t.equal(books.apply(batch, 0, 0), 1, 'it stops behind what broke the book')
  t.equal(books.broken?.instrument, 1)
  t.equal(books.broken?.cause, BOOK_CAUSE.gap)
  t.equal(books.apply(batch, 1, 0), 2)
  t.equal(books.broken, undefined)
  t.same(levelsOf(books.get(1)), { bids: [], asks: [] }, 'nothing wrong is held')
  t.ok(books.get(2)?.isReady)
  t.same(wanted, [1], 'behind it, it asks')
  take({ side: buy, price: 7, size: 1, flags: LAST })
  t.same(wanted, [1], 'but not all the time')
  books.setTime(4999)
  t.same(wanted, [1])
  books.setTime(5000)
  t.same(wanted, [1, 1], 'it asks again by itself')
  take({ side: buy, price: 7, size: 1, flags: LAST })
  t.same(wanted, [1, 1])
  take({ ...clear, flags: SNAPSHOT }, { side: buy, price: 8, size: 1, flags: LAST | SNAPSHOT })
  t.same(levelsOf(books.get(1)).bids, [[8, 1]])
  t.ok(books.get(1)?.isReady)
  t.equal(books.breakCount, 1)
  t.end()
})

t.test('a book may cross within an event, not at its end', (t) => {
  const { books, take, wanted } = setUp()
  const level = (side: number, price: number, size: number, flags = 0) => ({
    ...{ side, price, size, flags },
  })
  take(clear, level(buy, 10, 1), level(sell, 11, 1, LAST))
  take(level(buy, 11, 2), level(sell, 11, 0, LAST))
  t.ok(books.get(1)?.isReady)
  const batch = batchOf([level(sell, 11, 5, LAST), level(buy, 9, 1, LAST)])
  t.equal(books.apply(batch, 0, 0), 1)
  t.equal(books.broken?.cause, BOOK_CAUSE.crossed)
  t.same(wanted, [1])
  t.equal(books.get(1)?.recordCount(50), 1)
  t.end()
})

t.test('what changed is listed until it was seen, and not amid an event', (t) => {
  const { books, take } = setUp()
  const level = (price: number, size: number, flags = 0) => ({ side: buy, price, size, flags })
  take(clear, level(9, 1), level(8, 1), level(7, 1, LAST))
  books.clearChanged()
  t.same([books.changed.length, books.get(1)?.changedRank], [0, Infinity])
  take(level(8, 2, LAST))
  t.same([books.changed.length, books.get(1)?.changedRank], [1, 1])
  take(level(9, 3))
  t.notOk(books.get(1)?.isReady)
  books.clearChanged()
  take(level(7, 3, LAST))
  t.same([books.changed.length, books.get(1)?.changedRank], [1, 0], 'still to be seen')
  take(clear, level(9, 1))
  books.clearChanged()
  take(level(8, 1), level(7, 1, LAST))
  t.same([books.changed.length, books.get(1)?.changedRank], [1, 0], 'an image changes all')
  take(gap)
  books.clearChanged()
  t.same(books.changed, [])
  t.end()
})

t.test('what was lost breaks the books of its shard', (t) => {
  const { books, take } = setUp()
  take(clear, { side: buy, price: 5, size: 1, flags: LAST })
  books.lose(1)
  t.ok(books.get(1)?.isReady)
  books.lose(0)
  t.equal(books.get(1)?.cause, BOOK_CAUSE.lost)
  t.end()
})

t.test('beyond its room a book gives up the worst levels, and its memory when it breaks', (t) => {
  const { books, take } = setUp({ levelsMax: 3 })
  take(clear, ...[5, 1, 4, 2, 3].map((price) => ({ side: sell, price, size: price })))
  const asks = () => levelsOf(books.get(1)).asks.map(([price]) => price)
  t.same(asks(), [1, 2, 3])
  t.ok(books.get(1)?.asks.isCut)
  take({ side: sell, price: 2, size: 0 }, { side: sell, price: 9, size: 1, flags: LAST })
  t.same(asks(), [1, 3, 9])
  // One side of 16 levels of 24 bytes fits.
  const small = setUp({ bytesMax: 400 })
  small.take(
    clear,
    { side: buy, price: 1, size: 1 },
    { side: sell, price: 2, size: 1, flags: LAST },
  )
  t.same(levelsOf(small.books.get(1)), { bids: [[1, 1]], asks: [] })
  small.take(gap, clear, { side: sell, price: 2, size: 1, flags: LAST })
  t.same(levelsOf(small.books.get(1)), { bids: [], asks: [[2, 1]] })
  t.end()
})

t.test('any changes: the same levels as a plain map has, and an image that makes them', (t) => {
  let state = seed
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
  for (let round = 0; round < 200; round++) {
    const { books, take } = setUp()
    // Prices of either sign, on both sides of a word's limit.
    const base = [0, 2 ** 32, -(2 ** 32), 2 ** 50][random(4)] as number
    const model = { [buy]: new Map<number, number>(), [sell]: new Map<number, number>() }
    const later = setUp()
    const joinsAt = random(100)
    take(clear)
    for (let step = 0; step < 100; step++) {
      const side = random(2) === 0 ? buy : sell
      // Bids below asks: it never crosses.
      const price = base + (side === buy ? -1 - random(40) : random(40))
      const size = random(3)
      const row = { side, price, size, flags: random(2) === 0 ? LAST : 0 }
      take(row)
      if (size === 0) model[side]?.delete(price)
      else model[side]?.set(price, size)
      const book = books.get(1) as OrderBook
      if (step === joinsAt) later.books.applyAll(imageOf(book, Infinity), 0)
      else if (step > joinsAt) later.take(row)
      for (const [own, levels] of [
        [book.bids, [...(model[buy] as Map<number, number>)].sort(([a], [b]) => b - a)],
        [book.asks, [...(model[sell] as Map<number, number>)].sort(([a], [b]) => a - b)],
      ] as const) {
        if (own.count !== levels.length) t.fail(`round ${round}: ${own.count}, ${levels.length}`)
      }
    }
    take({ side: buy, price: base - 1, size: 1, flags: LAST })
    later.take({ side: buy, price: base - 1, size: 1, flags: LAST })
    model[buy]?.set(base - 1, 1)
    const all = levelsOf(books.get(1))
    t.same(
      all.bids,
      [...(model[buy] as Map<number, number>)].sort(([a], [b]) => b - a),
    )
    t.same(
      all.asks,
      [...(model[sell] as Map<number, number>)].sort(([a], [b]) => a - b),
    )
    t.same(levelsOf(later.books.get(1)), all, 'who came later has the same book')
    t.ok(later.books.get(1)?.isReady)
    const top = setUp()
    const depth = 1 + random(5)
    const image = imageOf(books.get(1) as OrderBook, depth)
    top.books.applyAll(image, 0)
    t.ok(top.books.get(1)?.isReady, 'an image ends an event')
    t.same(levelsOf(top.books.get(1)).asks, all.asks.slice(0, depth))
    t.same(levelsOf(top.books.get(1)).bids, all.bids.slice(0, depth))
    t.ok((image.flags(0) & SNAPSHOT) !== 0)
  }
  t.end()
})
