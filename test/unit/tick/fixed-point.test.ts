// Decimal text and scaled integers: what is read, what is refused and why, what is written.

import t from 'tap'
import {
  compareI64,
  formatDecimal,
  isNegative,
  isNull,
  isZero,
  PARSE_OK,
  PARSE_OVERFLOW,
  PARSE_SYNTAX,
  PARSE_TOO_MANY_DECIMALS,
  parseDecimal,
  parseInteger,
  parsePrice,
  parseSize,
  readSplit,
  writeNull,
  writeSplit,
} from '../../../src/tick/fixed-point.ts'

const words = new Int32Array(4)
const i64 = new BigInt64Array(words.buffer)
const encoder = new TextEncoder()

/** Parses with strangers before and behind; the value, or the reason of refusal. */
function parse(text: string, decimals: number): bigint | number {
  const bytes = encoder.encode(`7${text}7`)
  const code = parseDecimal(bytes, 1, bytes.length - 1, decimals, words, 0)
  return code === PARSE_OK ? (i64[0] as bigint) : code
}

t.test('decimal text is read at its scale', async (t) => {
  const cases: [string, number, bigint][] = [
    ['0', 9, 0n],
    ['-0', 9, 0n],
    ['-0.0', 9, 0n],
    ['1', 9, 1_000_000_000n],
    ['61737.63', 9, 61_737_630_000_000n],
    ['0.000000001', 9, 1n],
    ['-0.000000001', 9, -1n],
    ['1.10000000000000000000', 9, 1_100_000_000n],
    ['000123.4', 9, 123_400_000_000n],
    ['0.5', 8, 50_000_000n],
    ['21000000.00000001', 8, 2_100_000_000_000_001n],
    ['9223372036.854775807', 9, 2n ** 63n - 1n],
    ['-9223372036.854775807', 9, -(2n ** 63n) + 1n],
    ['92233720368.54775807', 8, 2n ** 63n - 1n],
    ['9223372036854775807', 0, 2n ** 63n - 1n],
    ['-9223372036854775807.000', 0, -(2n ** 63n) + 1n],
    ['9007199254740993', 0, 9_007_199_254_740_993n],
    ['922337203685477580.7', 1, 2n ** 63n - 1n],
    ['12', 0, 12n],
    ['12.0', 0, 12n],
  ]
  for (const [text, decimals, wanted] of cases) t.equal(parse(text, decimals), wanted, text)
})

t.test('what is no plain decimal number is refused as such', async (t) => {
  const texts = [
    '',
    '-',
    '.',
    '-.',
    '.5',
    '5.',
    '-.5',
    '+1',
    '1e5',
    '1E5',
    '1_0',
    ' 1',
    '1 ',
    '1.2.3',
  ]
  texts.push('--1', '1-', '0x1', 'NaN', 'Infinity', '1,5', '９', '99999999999999999999x', '1.x')
  for (const text of texts) {
    for (const decimals of [0, 8, 9]) t.equal(parse(text, decimals), PARSE_SYNTAX, `'${text}'`)
  }
})

t.test('decimals beyond the scale are refused, unless they are zero', async (t) => {
  t.equal(parse('0.0000000001', 9), PARSE_TOO_MANY_DECIMALS)
  t.equal(parse('0.0000000010', 9), 1n)
  t.equal(parse('0.000000001', 8), PARSE_TOO_MANY_DECIMALS)
  t.equal(parse('1.5', 0), PARSE_TOO_MANY_DECIMALS)
  t.equal(parse('9007199254740993.5', 0), PARSE_TOO_MANY_DECIMALS)
})

t.test('numbers beyond the range are refused; the null cannot be spelled', async (t) => {
  t.equal(parse('9223372036.854775808', 9), PARSE_OVERFLOW)
  t.equal(parse('-9223372036.854775808', 9), PARSE_OVERFLOW)
  t.equal(parse('9223372037', 9), PARSE_OVERFLOW)
  t.equal(parse('92233720368.54775808', 8), PARSE_OVERFLOW)
  t.equal(parse('9223372036854775808', 0), PARSE_OVERFLOW)
  t.equal(parse('-9223372036854775808', 0), PARSE_OVERFLOW)
  t.equal(parse('9'.repeat(100), 0), PARSE_OVERFLOW)
  t.equal(parse('9'.repeat(100), 9), PARSE_OVERFLOW)
  t.equal(parse(`${'9'.repeat(30)}.5`, 8), PARSE_OVERFLOW)
})

t.test('nothing is written on a refusal', async (t) => {
  i64[0] = 42n
  for (const text of ['', 'x', '1e9', '9'.repeat(20), '0.0000000001']) {
    parse(text, 9)
    t.equal(i64[0], 42n, `'${text}'`)
  }
})

t.test('prices have nine decimals, sizes eight', async (t) => {
  const bytes = encoder.encode('1.5')
  t.equal(parsePrice(bytes, 0, 3, words, 2), PARSE_OK)
  t.equal(i64[1], 1_500_000_000n)
  t.equal(parseSize(bytes, 0, 3, words, 2), PARSE_OK)
  t.equal(i64[1], 150_000_000n)
})

t.test('whole numbers: any i64 but the null', async (t) => {
  const integer = (text: string): bigint | number => {
    const bytes = encoder.encode(`7${text}7`)
    const code = parseInteger(bytes, 1, bytes.length - 1, words, 0)
    return code === PARSE_OK ? (i64[0] as bigint) : code
  }
  t.equal(integer('0'), 0n)
  t.equal(integer('-0'), 0n)
  t.equal(integer('0000000000000000000000000000042'), 42n)
  t.equal(integer('-9223372036854775807'), -(2n ** 63n) + 1n)
  t.equal(integer('9223372036854775807'), 2n ** 63n - 1n)
  t.equal(integer('9223372036854775808'), PARSE_OVERFLOW)
  t.equal(integer('-9223372036854775808'), PARSE_OVERFLOW)
  t.equal(integer('9'.repeat(40)), PARSE_OVERFLOW)
  for (const text of ['', '-', '1.0', '1e3', 'x', '12x', `${'9'.repeat(40)}x`, '--1', '+1']) {
    t.equal(integer(text), PARSE_SYNTAX, `'${text}'`)
  }
})

t.test('values are written in their shortest exact form', async (t) => {
  const cases: [bigint, number, string][] = [
    [0n, 9, '0'],
    [1n, 9, '0.000000001'],
    [-1n, 9, '-0.000000001'],
    [-50_000_000n, 9, '-0.05'],
    [1_000_000_000n, 9, '1'],
    [61_737_630_000_000n, 9, '61737.63'],
    [50_000_000n, 8, '0.5'],
    [1_000_000_000n, 0, '1000000000'],
    [2n ** 63n - 1n, 9, '9223372036.854775807'],
    [-(2n ** 63n) + 1n, 8, '-92233720368.54775807'],
    [100n, 0, '100'],
  ]
  for (const [value, decimals, text] of cases) {
    i64[0] = value
    t.equal(formatDecimal(words, 0, decimals), text)
  }
})

t.test('null is neither zero nor negative, and sorts before all', async (t) => {
  writeNull(words, 0)
  t.equal(i64[0], -(2n ** 63n))
  t.ok(isNull(words, 0))
  t.notOk(isZero(words, 0))
  t.notOk(isNegative(words, 0))
  i64[1] = -(2n ** 63n) + 1n
  t.equal(compareI64(words, 0, words, 2), -1)
  t.notOk(isNull(words, 2))
  t.ok(isNegative(words, 2))
})

t.test('a split is seconds and nanoseconds as they come', async (t) => {
  const split = { negative: false, a: 0, b: 0 }
  writeSplit(words, 0, false, 1_700_000_000, 999_999_999)
  t.equal(i64[0], 1_700_000_000_999_999_999n)
  readSplit(words, 0, split)
  t.same(split, { negative: false, a: 1_700_000_000, b: 999_999_999 })
  writeSplit(words, 0, true, 0, 0)
  t.equal(i64[0], 0n)
})
