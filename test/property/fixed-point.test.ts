// Decimal text <-> i64 against BigInt: any i64 at any scale, and any text.

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
  readNumber,
  readSplit,
  writeInteger,
  writeSplit,
} from '../../src/tick/fixed-point.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)
let state = seed >>> 0 || 1
const CASES = 4000
const I64_MAX = 2n ** 63n - 1n
const encoder = new TextEncoder()
const words = new Int32Array(4)
const big = new BigInt64Array(words.buffer)

/** xorshift32. */
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

function randomI64(): bigint {
  const all = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
  const value = BigInt.asIntN(64, all) >> BigInt(random(64))
  return value === -(2n ** 63n) ? 0n : value
}

/** The values beside every power of two and ten, either sign. */
function boundaries(): bigint[] {
  const values = new Set<bigint>([0n, I64_MAX, -I64_MAX])
  for (let bit = 0n; bit < 64n; bit++) for (const d of [-1n, 0n, 1n]) values.add(2n ** bit + d)
  for (let ten = 0n; ten < 19n; ten++) for (const d of [-1n, 0n, 1n]) values.add(10n ** ten + d)
  const both = [...values].flatMap((value) => [value, -value])
  return both.filter((value) => value <= I64_MAX && value >= -I64_MAX)
}

/** The exact decimal text of value x 10^-decimals, shortest form. */
function textOf(value: bigint, decimals: number): string {
  const digits = String(value < 0n ? -value : value).padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return (value < 0n ? '-' : '') + whole + (fraction === '' ? '' : `.${fraction}`)
}

/** What parseDecimal should make of text that matches the grammar, by BigInt. */
function expected(text: string, decimals: number): bigint | number {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (match === null) return PARSE_SYNTAX
  const [, sign, whole = '', fraction = ''] = match
  if (/[1-9]/.test(fraction.slice(decimals))) return PARSE_TOO_MANY_DECIMALS
  const value = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, '0'))
  if (value > I64_MAX) return PARSE_OVERFLOW
  return sign === '-' ? -value : value
}

t.test('any i64 is written, read, formatted and parsed back exactly, at every scale', async (t) => {
  const values = boundaries()
  for (let i = 0; i < CASES; i++) values.push(randomI64())
  for (const value of values) {
    for (let decimals = 0; decimals <= 9; decimals++) {
      big[0] = value
      const text = formatDecimal(words, 0, decimals)
      if (text !== textOf(value, decimals)) t.equal(text, textOf(value, decimals))
      const bytes = encoder.encode(text)
      big[1] = 77n
      const code = parseDecimal(bytes, 0, bytes.length, decimals, words, 2)
      if (code !== PARSE_OK || big[1] !== value) {
        throw new Error(
          `${text} at ${decimals} decimals: code ${code}, value ${big[1]}, not ${value}`,
        )
      }
    }
  }
  t.pass(`${values.length} values`)
})

t.test('the split of any i64 is what BigInt division gives', async (t) => {
  const split = { negative: false, a: 0, b: 0 }
  const values = boundaries()
  for (let i = 0; i < CASES; i++) values.push(randomI64())
  for (const value of values) {
    big[0] = value
    readSplit(words, 0, split)
    const size = value < 0n ? -value : value
    const good =
      BigInt(split.a) === size / 1_000_000_000n &&
      BigInt(split.b) === size % 1_000_000_000n &&
      split.negative === value < 0n
    writeSplit(words, 2, split.negative, split.a, split.b)
    if (!good || big[1] !== value) throw new Error(`${value}: ${JSON.stringify(split)}, ${big[1]}`)
    if (readNumber(words, 0) !== Number(value)) throw new Error(`${value} as a double`)
    if (isNegative(words, 0) !== value < 0n || isZero(words, 0) !== (value === 0n)) {
      throw new Error(`the sign of ${value}`)
    }
    if (isNull(words, 0)) throw new Error(`${value} is not the null`)
  }
  t.pass(`${values.length} values`)
})

t.test('whole numbers and order agree with BigInt', async (t) => {
  const values = boundaries()
  for (let i = 0; i < CASES; i++) values.push(randomI64())
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as bigint
    const bytes = encoder.encode(String(value))
    if (parseInteger(bytes, 0, bytes.length, words, 0) !== PARSE_OK || big[0] !== value) {
      throw new Error(`parseInteger of ${value} gave ${big[0]}`)
    }
    const other = values[random(values.length)] as bigint
    big[1] = other
    const order = value < other ? -1 : value > other ? 1 : 0
    if (compareI64(words, 0, words, 2) !== order) throw new Error(`${value} against ${other}`)
    if (value <= 2n ** 53n && value >= -(2n ** 53n)) {
      writeInteger(words, 0, Number(value))
      if (big[0] !== value) throw new Error(`writeInteger of ${value} gave ${big[0]}`)
    }
  }
  t.pass(`${values.length} values`)
})

t.test('text of any form is parsed, or refused for the right reason', async (t) => {
  const alphabet = '00123456789999-..e '
  for (let i = 0; i < CASES * 10; i++) {
    let text = random(3) === 0 ? '-' : ''
    const length = random(24)
    const digitsOnly = random(2) === 0
    for (let k = 0; k < length; k++) text += alphabet[random(digitsOnly ? 14 : alphabet.length)]
    if (digitsOnly && random(2) === 0) text += `.${String(random(1e9)).slice(random(9))}`
    const decimals = random(10)
    const bytes = encoder.encode(`9${text}9`)
    big[0] = 123n
    const code = parseDecimal(bytes, 1, bytes.length - 1, decimals, words, 0)
    const wanted = expected(text, decimals)
    const got = code === PARSE_OK ? (big[0] as bigint) : code
    // Of a number that is both too long and too fine, either is a true reason.
    const both = code === PARSE_OVERFLOW && wanted === PARSE_TOO_MANY_DECIMALS
    if (got !== wanted && !both) throw new Error(`'${text}' at ${decimals}: ${got}, not ${wanted}`)
    if (code !== PARSE_OK && big[0] !== 123n) throw new Error(`'${text}' wrote ${big[0]}`)
  }
  t.pass(`${CASES * 10} texts`)
})
