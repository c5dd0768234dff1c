// Event times by instrument and kind.

import t from 'tap'
import { INSTRUMENTS_MAX } from '../../../src/limits.ts'
import { KIND } from '../../../src/tick/layout.ts'
import { EventTimes } from '../../../src/validate/sequences.ts'

const words = new Int32Array(2)
const i64 = new BigInt64Array(words.buffer)

function isBehind(times: EventTimes, instrument: number, kind: number, ns: bigint): boolean {
  i64[0] = ns
  return times.isBehind(instrument, kind, words, 0)
}

t.test('times compare as 64 bits, each instrument and kind on its own', async (t) => {
  const times = new EventTimes()
  const now = 1_700_000_000_000_000_000n
  const word = 2n ** 32n
  const atWord = (now / word) * word
  t.equal(isBehind(times, 1, KIND.trade, atWord), false)
  t.equal(isBehind(times, 1, KIND.trade, atWord - 1n), true)
  t.equal(isBehind(times, 1, KIND.trade, atWord - 1n), false)
  t.equal(isBehind(times, 1, KIND.trade, atWord + 2n ** 31n), false)
  t.equal(isBehind(times, 1, KIND.quote, atWord - 9n), false)
  t.equal(isBehind(times, 2, KIND.trade, atWord - 9n), false)
})

t.test('the table grows to the last instrument and keeps what it knows', async (t) => {
  const times = new EventTimes()
  for (const instrument of [1, 300, 5000, INSTRUMENTS_MAX]) {
    t.equal(isBehind(times, instrument, KIND.status, 1000n), false)
  }
  for (const instrument of [1, 300, 5000, INSTRUMENTS_MAX]) {
    t.equal(isBehind(times, instrument, KIND.status, 999n), true)
  }
  t.throws(() => isBehind(times, INSTRUMENTS_MAX + 1, KIND.trade, 1n), /within the table/)
})
