// The latest table as the native writer leaves it against the JS one's: runs of random records, of
// instruments that are none and kinds that have no value too, compared to the word. TICKD_SEED
// repeats a run.

import t from 'tap'
import { LatestTable } from '../../src/aggregate/latest-table.ts'
import { SLOT_WORD, SLOT_WORDS } from '../../src/aggregate/latest-table-layout.ts'
import { LatestWriter } from '../../src/aggregate/latest-writer.ts'
import { chooseAddon } from '../../src/native/addon.ts'
import { Random } from '../../src/source/random.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { FLAG, KIND_COUNT, TICK_BYTES } from '../../src/tick/layout.ts'
import { nativeAbsent } from '../support/kernel-pair.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const RUNS = 3000
const TICKS_MAX = 64
const CAPACITY = 16
t.comment(`TICKD_SEED=${seed}`)

const random = new Random(seed)

/** Any bytes, of kinds and instruments that mostly exist, some late. */
function fill(batch: TickBatch, count: number): void {
  for (let i = 0; i < count * TICK_BYTES; i++) batch.bytes[i] = random.below(256)
  for (let i = 0; i < count; i++) {
    batch.setKindSide(i, random.below(KIND_COUNT + 2), random.below(4))
    const isFar = random.below(20) === 0
    batch.setInstrument(i, isFar ? random.below(2 ** 31) * 2 : random.below(CAPACITY + 3))
    batch.setFlags(i, random.below(8) === 0 ? FLAG.OUT_OF_ORDER : 0)
  }
}

t.test('both writers leave the same table', { skip: nativeAbsent() }, async (t) => {
  const memories = [LatestTable.create(CAPACITY), LatestTable.create(CAPACITY)] as const
  const [js, native] = memories.map((memory, i) => {
    const table = new LatestTable(memory, CAPACITY)
    return new LatestWriter(table, i === 0 ? chooseAddon('js') : chooseAddon('native'))
  }) as [LatestWriter, LatestWriter]
  const views = memories.map((memory) => new Int32Array(memory)) as [Int32Array, Int32Array]
  const batch = new TickBatch(TICKS_MAX)
  let wrong = ''
  let written = 0
  for (let run = 0; run < RUNS && wrong === ''; run++) {
    const count = 1 + random.below(TICKS_MAX)
    const first = random.below(TICKS_MAX - count + 1)
    fill(batch, TICKS_MAX)
    // Sequences of one word and of two; versions left odd by a crash, and about to wrap round.
    const firstSeq = random.below(2) === 0 ? random.below(1000) : 2 ** 32 - 30 + random.below(60)
    if (random.below(10) === 0) {
      const at = random.below(views[0].length / SLOT_WORDS) * SLOT_WORDS + SLOT_WORD.version
      const version = [1, 2 ** 31 - 1, -(2 ** 31), -2, -1][random.below(5)] as number
      for (const words of views) words[at] = version
    }
    js.apply(batch, first, count, firstSeq)
    native.apply(batch, first, count, firstSeq)
    if (Buffer.compare(Buffer.from(memories[0]), Buffer.from(memories[1])) !== 0) {
      wrong = `run ${run}, ${count} ticks from ${first}, seq ${firstSeq}`
    }
    written += count
  }
  t.equal(wrong, '', `${written} records`)
  t.not(
    views[0].findIndex((word) => word !== 0),
    -1,
    'and it is not empty',
  )
})

t.test('what is out of bounds is refused', { skip: nativeAbsent() }, async (t) => {
  const { addon } = chooseAddon('native')
  const table = new Int32Array(4 * SLOT_WORDS)
  const stamps = new Int32Array(4)
  const ticks = new Uint8Array(2 * TICK_BYTES)
  const apply = (...changed: Partial<[Int32Array, Int32Array, number, number, number]>) => {
    const [words = table, marks = stamps, first = 0, count = 2, seq = 0] = changed
    return () => addon?.applyLatest(words, marks, ticks, first, count, seq, 1)
  }
  t.doesNotThrow(apply())
  t.throws(apply(undefined, undefined, 1, 2), TypeError, 'more than there are')
  t.throws(apply(undefined, undefined, -1, 1), TypeError, 'before the first')
  t.throws(apply(undefined, undefined, 0, Number.NaN), TypeError, 'no number of them')
  t.throws(apply(undefined, undefined, 0, 1, -1), TypeError, 'a sequence below 0')
  t.throws(apply(table.subarray(1)), TypeError, 'a table of other slots')
  t.throws(apply(undefined, stamps.subarray(1)), TypeError, 'stamps of other slots')
})
