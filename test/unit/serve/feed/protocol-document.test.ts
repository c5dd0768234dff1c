import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  BOOK_TOP,
  CHANNELS,
  type ChannelName,
  channelOf,
  isChannel,
} from '../../../../src/serve/feed/channels.ts'
import { PROTOCOLS } from '../../../../src/serve/feed/encode.ts'
import { BOOK_NOTICES, CLOSE_CODES, FEED_ERRORS } from '../../../../src/serve/feed/errors.ts'
import { Frame } from '../../../../src/serve/feed/fb-frame.ts'
import {
  concerns,
  upstreamGap,
  type VenueGap,
  venueGap,
} from '../../../../src/serve/feed/upstream.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import {
  parsePrice,
  parseSize,
  writeInteger,
  writeSplit,
} from '../../../../src/tick/fixed-point.ts'
import { FLAG, KIND, SIDE, STATUS, WORD } from '../../../../src/tick/layout.ts'

const document = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8')

/** The rows of the table below a heading, as cells. */
function table(heading: string): string[][] {
  const section = document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !/^\| -/.test(line))
  return rows.slice(1).map((row) =>
    row
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.replace(/^`([^`]*)`$/, '$1')),
  )
}

function codes(list: Readonly<Record<string, { code: number; meaning: string }>>): string[][] {
  return Object.entries(list).map(([name, { code, meaning }]) => [String(code), name, meaning])
}

t.test('the documented errors are those of the program, by number', (t) => {
  t.same(table('Errors'), codes(FEED_ERRORS))
  t.same(table('Books'), codes(BOOK_NOTICES))
  const numbers = Object.values({ ...FEED_ERRORS, ...BOOK_NOTICES }).map(({ code }) => code)
  t.equal(new Set(numbers).size, numbers.length, 'no number means two things')
  t.end()
})

t.test('the documented close codes are those of the program', (t) => {
  t.same(table('Close codes'), codes(CLOSE_CODES))
  t.end()
})

t.test('the documented channels are those of the program, with what they offer', (t) => {
  const documented = table('Requests').filter(([name = '']) => Object.hasOwn(CHANNELS, name))
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  t.same(
    documented.map(([name, , ...offers]) => [name, ...offers]),
    (Object.keys(CHANNELS) as ChannelName[]).map((name) => {
      const { snapshot, conflate, slow } = channelOf(name)
      return [name, yes(snapshot), yes(conflate), slow]
    }),
  )
  t.end()
})

t.test('the documented channel of best levels is each of those of the program', (t) => {
  const row = table('Requests').find(([name]) => name === 'book.<depth>')
  t.same(row?.slice(2), ['yes', 'yes', BOOK_TOP.slow])
  t.match(row?.[1], '`book.1` … `book.50`')
  for (const depth of [1, 9, 10, 50]) {
    t.match(channelOf(`book.${depth}`), { ...BOOK_TOP, depth })
  }
  for (const name of ['book.0', 'book.51', 'book.', 'book.1.5', 'book.100', 'book.01', 'book.x']) {
    t.notOk(isChannel(name), name)
  }
  t.end()
})

t.test('the documented sub-protocols are those of the program', (t) => {
  t.same(
    table('Connecting').map(([name]) => name),
    PROTOCOLS,
  )
  t.end()
})

t.test('the documented frame is what the program sends for that trade', (t) => {
  const { words } = new TickBatch(1)
  const batch = new TickBatch(1, words.buffer as ArrayBuffer)
  const sec = Date.parse('2024-08-08T23:54:15Z') / 1000
  writeSplit(words, WORD.ts_event, false, sec, 208_000_000)
  writeSplit(words, WORD.ts_recv, false, sec, 209_123_456)
  batch.setInstrument(0, 1)
  batch.setSource(0, 2)
  batch.setKindSide(0, KIND.trade, SIDE.buy)
  batch.setFlags(0, FLAG.LAST)
  const text = new TextEncoder()
  const price = text.encode('61737.63')
  parsePrice(price, 0, price.length, words, WORD.p0)
  const size = text.encode('0.5')
  parseSize(size, 0, size.length, words, WORD.p1)
  writeInteger(words, WORD.p2, 1_234_567)
  const frame = new Frame(16, 1, 1_723_161_255)
  frame.append(words, 0)
  const documented = [...document.matchAll(/^00\d0 ((?:[0-9a-f]{2} ){16})/gm)]
    .map(([, hex = '']) => hex.replaceAll(' ', ''))
    .join('')
  t.equal(Buffer.from(frame.encode(42)).toString('hex'), documented)
  t.end()
})

t.test('the documented hole of a venue is told as the program tells it', (t) => {
  const [documented = ''] = /^\{"op":"gap"[^}]*"upstream"[^}]*\}/m.exec(document) ?? []
  const batch = new TickBatch(1)
  batch.count = 1
  batch.setInstrument(0, 9)
  batch.setKindSide(0, KIND.status, SIDE.none)
  batch.setAction(0, STATUS.gap)
  writeInteger(batch.words, WORD.p0, KIND.trade)
  writeInteger(batch.words, WORD.p1, 881_204)
  writeInteger(batch.words, WORD.p2, 881_210)
  const hole = venueGap(batch, 0)
  t.equal(upstreamGap(3, 12, 1400, hole as VenueGap), documented.replaceAll(/\s/g, ''))
  batch.setAction(0, STATUS.halted)
  t.equal(venueGap(batch, 0), undefined)
  t.end()
})

t.test('a hole concerns the documented channels', (t) => {
  const told = (kind: number) => {
    const hole = { instrument: 1, kind, from: null, to: null }
    return (['trades', 'quotes', 'book'] as const).filter((name) => {
      return concerns(channelOf(name), hole)
    })
  }
  t.same(told(KIND.trade), ['trades'])
  t.same(told(KIND.quote), ['quotes'])
  t.same(told(KIND.book), ['quotes', 'book'])
  t.same(told(0), ['trades', 'quotes', 'book'])
  t.end()
})
