import fc from 'fast-check'
import t from 'tap'
import { STORE_REFUSALS_PER_MINUTE_MAX } from '../../../../src/limits.ts'
import { dataRefusal } from '../../../../src/storage/postgres/explain.ts'
import { Refusals } from '../../../../src/storage/postgres/refusals.ts'

const WHY = { sqlState: '23514', text: 'no', line: 0 }

/**
 * Stores [0, count) where the server refuses any range with a bad record in it that is not left
 * out; `names`: it says which. Returns what was refused, and the attempts it took.
 */
function settle(count: number, bad: ReadonlySet<number>, names: boolean) {
  const refusals = new Refusals()
  const refused: number[] = []
  let attempts = 0
  for (let from = 0; from < count; ) {
    attempts++
    const to = refusals.limit(from, count)
    const culprit = [...bad].find((seq) => seq >= from && seq < to && !refusals.culprits.has(seq))
    if (culprit !== undefined) {
      const outcome = refusals.refused(from, to, names ? culprit : -1, WHY, 0)
      if (outcome === 'too many') throw new Error('too many')
      continue
    }
    refused.push(...[...refusals.culprits.keys()].filter((seq) => seq < to))
    refusals.committed(to)
    from = to
  }
  return { refused, attempts }
}

t.test('a culprit that is named costs one attempt more', (t) => {
  t.same(settle(1000, new Set([7, 999]), true), { refused: [7, 999], attempts: 3 })
  t.end()
})

t.test('one that is not named costs about two transactions a halving', (t) => {
  const { refused, attempts } = settle(131_072, new Set([77_777]), false)
  t.same(refused, [77_777])
  t.ok(attempts <= 2 * 17 + 2, `${attempts} attempts`)
  t.end()
})

t.test('whichever records are bad, these are refused and no other', (t) => {
  const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
  t.comment(`TICKD_SEED=${seed}`)
  const counts = fc.integer({ min: 1, max: 500 })
  fc.assert(
    fc.property(
      counts,
      fc.uniqueArray(fc.nat(499), { maxLength: 60 }),
      fc.boolean(),
      (n, all, b) => {
        const bad = new Set(all.filter((seq) => seq < n))
        const { refused } = settle(n, bad, b)
        return refused.length === bad.size && refused.every((seq) => bad.has(seq))
      },
    ),
    { seed, numRuns: 300 },
  )
  t.end()
})

t.test('so many a minute and no more', (t) => {
  const refusals = new Refusals()
  for (let seq = 0; seq < STORE_REFUSALS_PER_MINUTE_MAX; seq++) {
    t.equal(refusals.refused(0, 1000, seq, WHY, 1000), seq)
  }
  t.equal(refusals.refused(0, 1000, 500, WHY, 60_999), 'too many')
  t.equal(refusals.refused(0, 1000, 500, WHY, 61_000), 500, 'another minute')
  t.equal(refusals.committed(50), 50)
  t.equal(refusals.culprits.size, STORE_REFUSALS_PER_MINUTE_MAX - 50 + 1)
  t.end()
})

t.test('a record that is left out and refused all the same is not to blame', (t) => {
  const refusals = new Refusals()
  t.equal(refusals.refused(5, 6, -1, WHY, 0), 5)
  t.equal(refusals.refused(5, 6, -1, WHY, 0), 'too many')
  t.equal(refusals.refused(5, 9, 5, WHY, 0), 'too many')
  t.end()
})

t.test('what a server says of rows is told from what it says of tables', (t) => {
  const ours = (name: string) => name === 'price'
  const said = (fields: Record<string, string>) => Object.assign(new Error('said\nso'), fields)
  const where = 'PL/pgSQL function f()\nCOPY inner, line 3\nCOPY trade_20260301, line 42, column x'
  t.same(dataRefusal(said({ code: '23514', constraint: 'c', where }), ours), {
    sqlState: '23514',
    text: 'said so',
    line: 42,
  })
  t.equal(dataRefusal(said({ code: 'P0001' }), ours)?.line, 0)
  t.equal(dataRefusal(said({ code: '23502', column: 'price' }), ours)?.sqlState, '23502')
  t.equal(dataRefusal(said({ code: '22008' }), ours)?.sqlState, '22008')
  for (const fields of [
    { code: '23514' }, // no partition for the row
    { code: '23502', column: 'zone' }, // a column that somebody added
    { code: '22P03' }, // a column of another type
    { code: '53100' },
    { code: 'TK001' },
    { code: 'ECONNRESET' },
    {},
  ]) {
    t.equal(dataRefusal(said(fields as Record<string, string>), ours), undefined)
  }
  t.end()
})
