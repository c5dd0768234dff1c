import { Worker } from 'node:worker_threads'
import t from 'tap'
import { LatestTable } from '../../../src/aggregate/latest-table.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { writeInteger } from '../../../src/tick/fixed-point.ts'
import { KIND, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'
import { nativeAbsent } from '../../support/kernel-pair.ts'

/** Reads, about a millisecond of them: a writer that runs has written something else by then. */
const SAME_READS = 10_000

t.setTimeout(180_000)

function tick(kind: number, instrument: number, value: number): TickBatch {
  const batch = new TickBatch(1)
  batch.setKindSide(0, kind, 0)
  batch.setInstrument(0, instrument)
  writeInteger(batch.words, WORD.p0, value)
  batch.count = 1
  return batch
}

t.test('a slot that was never written has version 0 and reads as -1', (t) => {
  const table = new LatestTable(LatestTable.create(8), 8)
  t.equal(table.version(3, KIND.trade), 0)
  t.equal(table.read(3, KIND.trade, new TickBatch(1), 0), -1)
  t.end()
})

t.test('a table is empty until the first record, in whichever slot it is', (t) => {
  for (const [instrument, kind] of [
    [1, KIND.trade],
    [8, KIND.status],
  ] as const) {
    const table = new LatestTable(LatestTable.create(8), 8)
    t.equal(table.isEmpty(), true)
    table.write(tick(kind, instrument, 5).words, 0, 1)
    t.equal(table.isEmpty(), false)
  }
  t.end()
})

t.test('a record comes back whole, with its sequence, and changes the version', (t) => {
  const table = new LatestTable(LatestTable.create(8), 8)
  const seq = 2 ** 47 + 3
  const written = tick(KIND.quote, 8, -77)
  table.write(written.words, 0, seq)
  const first = table.version(8, KIND.quote)
  const out = new TickBatch(2)
  t.equal(table.read(8, KIND.quote, out, 1), seq)
  t.same(out.words.slice(TICK_WORDS), written.words)
  table.write(written.words, 0, seq + 1)
  t.not(table.version(8, KIND.quote), first)
  t.equal(table.version(8, KIND.trade), 0, 'other kinds of the instrument are not touched')
  t.equal(table.version(7, KIND.quote), 0, 'nor are its neighbours')
  t.end()
})

t.test('book levels and instruments outside the table are passed over', (t) => {
  const table = new LatestTable(LatestTable.create(2), 2)
  table.write(tick(KIND.book, 1, 1).words, 0, 5)
  table.write(tick(KIND.trade, 0, 1).words, 0, 5)
  table.write(tick(KIND.trade, 3, 1).words, 0, 5)
  for (const kind of Object.values(KIND)) {
    for (const instrument of [0, 1, 2, 3]) t.equal(table.version(instrument, kind), 0)
  }
  t.equal(table.version(1, 99), 0)
  t.end()
})

t.test('the memory must have been made for the capacity', (t) => {
  t.throws(() => new LatestTable(LatestTable.create(2), 4), /made for the capacity/)
  t.end()
})

for (const kernels of ['js', 'native']) {
  const skip = kernels === 'native' ? nativeAbsent() : false
  t.test(
    `a reader never sees half a record while a ${kernels} writer writes`,
    { skip },
    async (t) => {
      const memory = LatestTable.create(1)
      const stop = new Int32Array(new SharedArrayBuffer(4))
      const worker = new Worker(new URL('./latest-table-writer.ts', import.meta.url), {
        workerData: { memory, stop: stop.buffer, kernels },
        execArgv: ['--disable-warning=ExperimentalWarning'],
      })
      const table = new LatestTable(memory, 1)
      const out = new TickBatch(1)
      let last = -1
      let changes = 0
      let same = 0
      const deadline = performance.now() + 60_000
      while (changes < 2_000 && performance.now() < deadline) {
        const seq = table.read(1, KIND.trade, out, 0)
        if (seq < 0) {
          await new Promise((resolve) => setImmediate(resolve))
          continue
        }
        if (seq < last) t.fail(`sequence went back: ${last} -> ${seq}`)
        for (let word = WORD.p0; word < TICK_WORDS; word++) {
          if (out.words[word] !== (seq | 0)) t.fail(`torn: word ${word} of seq ${seq}`)
        }
        if (seq !== last) changes++
        same = seq === last ? same + 1 : 0
        last = seq
        // The writer has no core: it gets ours for a moment. Nobody notifies: only time ends it.
        if (same % SAME_READS === SAME_READS - 1) Atomics.wait(stop, 0, 0, 1)
      }
      // The writer polls it between batches; a late look only makes it write some more.
      Atomics.store(stop, 0, 1)
      await new Promise((resolve) => worker.once('exit', resolve))
      t.ok(changes === 2_000, `${changes} distinct values were seen`)
    },
  )
}
