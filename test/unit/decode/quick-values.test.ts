// What the quick way of normalised lines reads, beside the parsers of the full one: it says 0, or
// the same as they. Nothing is read beyond the memory that each function asks for.

import t from 'tap'
import { digitCount, digitValue } from '../../../src/decode/digit-words.ts'
import { quickDecimal, quickInteger } from '../../../src/decode/quick-numbers.ts'
import { QuickTime } from '../../../src/decode/quick-time.ts'
import { QuotedWord } from '../../../src/decode/quoted-word.ts'
import { VenueSymbols } from '../../../src/decode/venue-symbols.ts'
import { parseDecimal, writeSplit } from '../../../src/tick/fixed-point.ts'
import { parseTime } from '../../../src/tick/time.ts'

const ROOM = 64
const words = new Int32Array(4)

/** The text at offset 3 of memory with just the room that a member has. */
function memory(text: string): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(3 + Math.max(ROOM, Buffer.byteLength(text)))
  bytes.set(Buffer.from(text), 3)
  return { bytes, view: new DataView(bytes.buffer) }
}

/** Bytes of a value at offset 3; 'no' where it is not plain. */
function sizeOf(behind: number): number | 'no' {
  return behind === 0 ? 'no' : behind - 3
}

/** How many bytes of the text are the value; 'no' where it is not plain. */
function decimal(text: string, decimals = 9): number | 'no' {
  const { bytes, view } = memory(text)
  return sizeOf(quickDecimal(bytes, view, 3, decimals, words, 0))
}

t.test('digits are counted to the first other byte, whatever that is', async (t) => {
  for (let count = 0; count <= 16; count++) {
    const digits = '9076543210123459'.slice(0, count)
    for (let other = 0; other < 256; other++) {
      if (other >= 0x30 && other <= 0x39) continue
      const { view, bytes } = memory(digits)
      bytes.fill(other, 3 + count)
      if (digitCount(view, 3) !== count) t.fail(`${count} digits before byte ${other}`)
    }
    if (count > 0 && count < 16) t.equal(digitValue(memory(digits).view, 3, count), Number(digits))
  }
})

t.test('decimals agree with the parser wherever they are taken', async (t) => {
  const expected = new Int32Array(2)
  const texts = ['0', '1', '61800.30000000', '-0.5', '-0', '00.5', '9223372035.999999999', '-7']
  const edges = ['9007199.254740991', '9007199.254740992', '90071992.54740993', '4.294967296']
  for (const text of [...texts, ...edges, '0.00000001', '92233720.12345678', '-9007200.1']) {
    for (const decimals of [8, 9]) {
      const bytes = Buffer.from(text)
      const parsed = parseDecimal(bytes, 0, bytes.length, decimals, expected, 0)
      const places = text.split('.')[1]?.length ?? 0
      const got = decimal(`"${text}"`, decimals)
      t.equal(got, places <= decimals ? text.length + 2 : 'no', text)
      if (got === 'no') continue
      t.equal(parsed, 0, text)
      t.same([...words.slice(0, 2)], [...expected], `${text} at ${decimals}`)
    }
  }
  for (const bad of ['"', '""', '"-"', '".5"', '"1."', '"1.5', '"1.5x"', '"1e5"', '"+1"', '"1 "']) {
    t.equal(decimal(bad), 'no', bad)
  }
  t.equal(decimal('"1.0000000000"'), 'no', 'surplus zeros are for the parser')
  t.equal(decimal('"9223372036"'), 'no', 'the end of the range is for the parser')
})

t.test('unquoted decimals are JSON numbers', async (t) => {
  t.equal(decimal('-0.25,'), 5)
  t.equal(decimal('0}'), 1)
  t.equal(decimal('"7"'), 3)
  for (const bad of ['01', '-01', '1.', '.5', '-', 'null', '+1', '"01']) {
    t.equal(decimal(bad), 'no', bad)
  }
  t.equal(decimal('1e5'), 1, 'the caller looks for a comma')
})

t.test('whole numbers are of few digits', async (t) => {
  const integer = (text: string) => {
    const { bytes, view } = memory(text)
    return sizeOf(quickInteger(bytes, view, 3, words, 0))
  }
  t.equal(integer('12,'), 2)
  t.equal(integer('"123456789012345"'), 17)
  t.same([...words.slice(0, 2)], [(123456789012345 % 2 ** 32) | 0, 28744])
  for (const bad of ['"12', '"-1"', '-1', '01', '"01"', '""', '1234567890123456', 'null']) {
    t.equal(integer(bad), 'no', bad)
  }
})

t.test('times agree with the parser, whichever came before', async (t) => {
  const time = new QuickTime()
  const parsed = { sec: 0, nsec: 0 }
  const expected = new Int32Array(2)
  const texts = [
    ...['2024-08-08T23:54:15.208000001Z', '2024-08-08T23:54:15Z', '2024-08-08T23:54:15.9Z'],
    ...['2024-08-08T23:54:15+00:00', '2024-08-08T23:54:16.999999999Z', '2024-08-08T23:54:16.Z'],
    ...['2024-08-08T23:54:16.1234567890Z', '2024-02-30T00:00:00Z', '2024-08-08T23:54:16.5Y'],
    ...['1970-01-01T00:00:04.294967295Z', '1970-01-01T00:00:04.294967296Z', '2024-08-08'],
    ...['2262-04-11T23:47:16.854775807Z', '2262-04-11T23:47:16.854775808Z', '\0'.repeat(19)],
  ]
  for (let i = 0; i < texts.length ** 2; i++) {
    const text = texts[i % 2 === 0 ? i % texts.length : Math.floor(i / texts.length)] as string
    const { bytes, view } = memory(`"${text}"`)
    const behind = time.read(bytes, view, 3, bytes.length)
    const isTime = parseTime(bytes, 4, 4 + text.length, parsed)
    if (behind === 0) continue
    t.equal(behind, 5 + text.length)
    t.ok(isTime, text)
    writeSplit(expected, 0, false, parsed.sec, parsed.nsec)
    t.same([time.low, time.high], [...expected], text)
  }
})

t.test('a text is known by all its bytes', async (t) => {
  for (const text of ['null', '"buy"', '"sell"', '"trade"', '"interval_minutes":']) {
    const word = new QuotedWord(text)
    t.ok(word.isAt(memory(`${text},`).view, 3), text)
    for (let i = 0; i < text.length; i++) {
      t.notOk(word.isAt(memory(`${text.slice(0, i)}#${text.slice(i + 1)}`).view, 3))
    }
  }
  t.notOk(new QuotedWord().isAt(memory('').view, 3), 'none is nowhere')
})

t.test('the same symbol of two venues is two instruments', async (t) => {
  const cache = new VenueSymbols()
  const find = (venue: string, symbol: string) => {
    const { view } = memory(`"${symbol}"`)
    return cache.find(cache.venue(memory(`"${venue}"`).view, 3), view, 3)
  }
  for (let i = 0; i < 10; i++) {
    const quoted = `"venue-${i}"`
    const venue = cache.keepVenue(memory(quoted).view, 3, quoted.length)
    cache.remember(venue, memory('"BTC-USD"').view, 3, 9, i + 1)
  }
  for (const i of [0, 5, 5, 7, 3, 0, 7]) {
    t.equal(find(`venue-${i}`, 'BTC-USD'), i + 1)
    t.equal(cache.size, 9)
    t.equal(find(`venue-${i}`, 'BTC-USDT'), 0)
  }
  t.equal(find('venue-9', 'BTC-USD'), 0, 'of the first eight')
  t.equal(find('venue-', 'BTC-USD'), 0)
})
