import t from 'tap'
import { writeNull, writeSplit } from '../../../src/tick/fixed-point.ts'
import {
  formatTime,
  formatTimeAt,
  isTime,
  parseTime,
  splitEpoch,
  TIME_SEC_MAX,
} from '../../../src/tick/time.ts'

const out = { sec: 0, nsec: 0 }

function parse(text: string): string | false {
  // Padding on both sides: nothing outside the range may be looked at.
  const bytes = Buffer.from(`9${text}9`)
  return parseTime(bytes, 1, bytes.length - 1, out) && formatTime(out.sec, out.nsec)
}

t.test(
  'RFC 3339 text becomes seconds and nanoseconds and is printed with nine digits',
  async (t) => {
    t.equal(parse('1970-01-01T00:00:00Z'), '1970-01-01T00:00:00.000000000Z')
    t.equal(parse('2024-08-08T23:54:15.208Z'), '2024-08-08T23:54:15.208000000Z')
    t.same(out, { sec: 1723161255, nsec: 208_000_000 })
    t.equal(parse('2024-08-08T23:54:15.000000001Z'), '2024-08-08T23:54:15.000000001Z')
    t.equal(parse('2024-02-29T12:00:00+00:00'), '2024-02-29T12:00:00.000000000Z')
    t.equal(parse('2262-04-11T23:47:16.854775807Z'), '2262-04-11T23:47:16.854775807Z')
  },
)

t.test('every day from 1970 to 2262 agrees with the calendar of the runtime', async (t) => {
  let wrong = 0
  for (let day = 0; day * 86_400 < TIME_SEC_MAX; day++) {
    const text = new Date(day * 86_400_000).toISOString().replace('.000Z', 'Z')
    parse(text)
    if (out.sec !== day * 86_400) wrong++
  }
  t.equal(wrong, 0)
})

t.test('what is not a time in UTC from 1970 to 2262 is refused', async (t) => {
  const refused = [
    '',
    'Z',
    '2024-08-08',
    '2024-08-08T23:54:15',
    '2024-08-08 23:54:15Z',
    '2024-08-08t23:54:15Z',
    '2024-08-08T23:54:15z',
    '2024-08-08T23:54:15.Z',
    '2024-08-08T23:54:15.1234567890Z',
    '2024-08-08T23:54:15.12a4Z',
    '2024-08-08T23:54:15+02:00',
    '2024-08-08T23:54:15-00:00',
    '2024-08-08T23:54:15+00.00',
    '2024-08-08T23:54:15ZZ',
    '2024-08-08T24:00:00Z',
    '2024-08-08T23:60:00Z',
    '2016-12-31T23:59:60Z',
    '2023-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2024-04-31T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-00-01T00:00:00Z',
    '2024-01-00T00:00:00Z',
    '2024/01/01T00:00:00Z',
    '2024-01-01T00-00-00Z',
    '+024-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '2262-04-11T23:47:16.854775808Z',
    '2262-04-12T00:00:00Z',
  ]
  for (const text of refused) t.equal(parse(text), false, text)
})

t.test('epoch integers are milliseconds, or microseconds where they are too large', async (t) => {
  t.ok(splitEpoch(1723161256322, out))
  t.same(out, { sec: 1723161256, nsec: 322_000_000 })
  t.ok(splitEpoch(1723161256322123, out))
  t.same(out, { sec: 1723161256, nsec: 322_123_000 })
  t.ok(splitEpoch(0, out))
  t.same(out, { sec: 0, nsec: 0 })
  for (const value of [-1, 0.5, Number.NaN, Infinity, 9_223_372_036_855_000, 2 ** 63]) {
    t.notOk(splitEpoch(value, out), String(value))
  }
})

t.test('the range ends where the i64 of nanoseconds ends', async (t) => {
  t.ok(isTime(TIME_SEC_MAX, 854_775_807))
  t.notOk(isTime(TIME_SEC_MAX, 854_775_808))
  t.notOk(isTime(-1, 0))
})

t.test('a record’s time is text, and null where there is none', async (t) => {
  const words = new Int32Array(2)
  writeSplit(words, 0, false, 1723161255, 208_000_000)
  t.equal(formatTimeAt(words, 0), '2024-08-08T23:54:15.208000000Z')
  writeNull(words, 0)
  t.equal(formatTimeAt(words, 0), null)
  writeSplit(words, 0, true, 0, 1)
  t.equal(formatTimeAt(words, 0), null)
})
