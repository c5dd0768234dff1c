import t from 'tap'
import { LatestTable } from '../../../../src/aggregate/latest-table.ts'
import { Newest, slotInstrument, slotKind } from '../../../../src/serve/feed/newest.ts'
import { readNumber } from '../../../../src/tick/fixed-point.ts'
import { FLAG, KIND, TICK_WORDS, WORD } from '../../../../src/tick/layout.ts'
import { ticks } from '../../../support/serve-rig.ts'

function setUp() {
  const shared = new LatestTable(LatestTable.create(8), 8)
  const newest = new Newest(shared)
  const value = (instrument: number, kind: number) => {
    const slot = newest.find(instrument, kind)
    return slot < 0 ? undefined : readNumber(newest.words, slot * TICK_WORDS + WORD.p0) / 1e9
  }
  return { shared, newest, value }
}

t.test('it holds the newest record as of what was applied, and knows what changed', (t) => {
  const { newest, value } = setUp()
  newest.apply(
    ticks([
      { instrument: 3, value: 1 },
      { kind: KIND.quote, instrument: 8, value: 2 },
      { instrument: 3, value: 4 },
      { instrument: 3, value: 3, flags: FLAG.OUT_OF_ORDER },
      { kind: KIND.book, instrument: 3, value: 5 },
      { instrument: 9, value: 6 },
    ]),
  )
  t.equal(value(3, KIND.trade), 4)
  t.equal(value(8, KIND.quote), 2)
  t.equal(value(3, KIND.quote), undefined)
  t.equal(value(3, KIND.book), undefined)
  const changed = [...newest.changed.subarray(0, newest.changedCount)]
  t.same(
    changed.map((slot) => [slotInstrument(slot), slotKind(slot)]),
    [
      [3, KIND.trade],
      [8, KIND.quote],
    ],
  )
  newest.clearChanged()
  newest.apply(ticks([{ instrument: 3, value: 7 }]))
  t.equal(newest.changedCount, 1)
  t.end()
})

t.test('what it has not seen is looked up in the shared table, as after a loss', (t) => {
  const { shared, newest, value } = setUp()
  shared.write(ticks([{ instrument: 2, value: 10 }]).words, 0, 5)
  t.equal(value(2, KIND.trade), 10)
  shared.write(ticks([{ instrument: 2, value: 11 }]).words, 0, 6)
  t.equal(value(2, KIND.trade), 10, 'it does not run ahead of the feed')
  newest.forget(8)
  t.equal(value(2, KIND.trade), 11)
  t.equal(newest.changedCount, 0)
  t.end()
})
