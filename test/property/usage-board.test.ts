// The board of what holders and addresses use, against a model: columns of several threads, names
// that come and go, threads that are made anew.

import fc from 'fast-check'
import t from 'tap'
import { UsageBoard, type UsagePlace } from '../../src/serve/access/usage-board.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)
const COLUMNS = 3
/** So few that windows overlap, and go round the end. */
const SLOTS = 128
const NAMES = 6
const KINDS = 2

interface Step {
  readonly op: 'place' | 'release' | 'add' | 'moment' | 'clear'
  readonly column: number
  readonly name: number
  readonly kind: number
  readonly value: number
}

const ops = { place: 4, release: 2, add: 4, moment: 4, clear: 1 }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    op: fc.oneof(
      ...(Object.entries(ops) as [Step['op'], number][]).map(([op, weight]) => {
        return { weight, arbitrary: fc.constant(op) }
      }),
    ),
    column: fc.nat(COLUMNS - 1),
    name: fc.nat(NAMES - 1),
    kind: fc.nat(KINDS - 1),
    value: fc.nat(1000),
  }),
  { maxLength: 60 },
)

interface Known {
  readonly place: UsagePlace
  readonly counts: number[]
  readonly moments: number[]
}

class Model {
  readonly boards: UsageBoard[]
  /** By column, by name. */
  readonly known: Map<number, Known>[]

  constructor(memory: SharedArrayBuffer) {
    this.boards = Array.from(
      { length: COLUMNS },
      (_, own) => new UsageBoard(memory, COLUMNS, own, 'salt'),
    )
    this.known = this.boards.map(() => new Map())
    for (const board of this.boards) board.clear()
  }

  take(step: Step): void {
    const board = this.boards[step.column] as UsageBoard
    const names = this.known[step.column] as Map<number, Known>
    if (step.op === 'clear') {
      board.clear()
      names.clear()
      return
    }
    const known = names.get(step.name)
    if (step.op === 'place') {
      if (known !== undefined) return
      const place = board.place(`name ${step.name}`)
      if (place === undefined) throw new Error('there is room')
      names.set(step.name, { place, counts: [0, 0], moments: [0, 0] })
    } else if (known === undefined) return
    else if (step.op === 'release') {
      known.place.release()
      names.delete(step.name)
    } else if (step.op === 'add') {
      known.place.add(step.kind, step.value)
      known.counts[step.kind] = (known.counts[step.kind] as number) + step.value
    } else {
      known.place.setMoment(step.kind, step.value)
      known.moments[step.kind] = step.value
    }
  }

  /** What each thread that knows a name sees of it is what all have written. */
  check(): void {
    for (const names of this.known) {
      for (const [name, { place }] of names) {
        const all = this.known.flatMap((each) => each.get(name) ?? [])
        for (let kind = 0; kind < KINDS; kind++) {
          const count = all.reduce((sum, { counts }) => sum + (counts[kind] as number), 0)
          const moment = Math.max(...all.map(({ moments }) => moments[kind] as number))
          if (place.count(kind) !== count) throw new Error(`${place.count(kind)}, not ${count}`)
          if (place.moment(kind) !== moment) throw new Error(`${place.moment(kind)}, not ${moment}`)
        }
      }
    }
  }
}

t.test('each thread sees what all use, whoever comes and goes', async (t) => {
  const memory = UsageBoard.create(COLUMNS, SLOTS)
  const property = fc.property(steps, (all) => {
    const model = new Model(memory)
    for (const step of all) {
      model.take(step)
      model.check()
    }
  })
  fc.assert(property, { seed, numRuns: 100 })
  t.pass('100 histories')
})
