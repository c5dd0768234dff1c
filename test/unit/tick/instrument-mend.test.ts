// The instrument table after a thread that ended while it held the lock.

import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { INSTRUMENT_WORD } from '../../../src/tick/instrument-layout.ts'
import { InstrumentLog } from '../../../src/tick/instrument-log.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'

const CAPACITY = 16
const OWNER = 7

function setUp(t: Test) {
  const path = join(t.testdir(), 'instruments.jsonl')
  const memory = InstrumentTable.create(CAPACITY)
  const log = new InstrumentLog(path)
  const table = new InstrumentTable(memory, CAPACITY, log.append)
  t.teardown(() => log.close())
  table.add('venue', 'OLD-USD', 'OLDUSD')
  return { path, memory, log, table }
}

/** Ends a thread in the middle of adding NEW-USD. */
async function endWhileAdding(memory: SharedArrayBuffer, path: string, isDurable: boolean) {
  const signal = new SharedArrayBuffer(8)
  const worker = new Worker(new URL('./adding-worker.ts', import.meta.url), {
    workerData: { memory, capacity: CAPACITY, path, owner: OWNER, isDurable, signal },
  })
  // Pairs with the worker's notify.
  const begun = Atomics.waitAsync(new Int32Array(signal), 0, 0)
  if (begun.async) await begun.value
  await worker.terminate()
}

/** Loads the log as the next start of the daemon does. */
function loaded(path: string): InstrumentTable {
  const memory = InstrumentTable.create(CAPACITY)
  new InstrumentLog(path).load(memory, CAPACITY)
  return new InstrumentTable(memory, CAPACITY)
}

for (const isDurable of [false, true]) {
  const when = isDurable ? 'after' : 'before'
  t.test(`a thread that ends ${when} its instrument is durable`, async (t) => {
    const { path, memory, log, table } = setUp(t)
    await endWhileAdding(memory, path, isDurable)
    t.ok(table.abandoned(OWNER))
    t.notOk(table.abandoned(OWNER + 1))
    log.mend(table)
    table.unlockFor(OWNER)
    t.notOk(table.abandoned(OWNER))
    t.equal(table.count, isDurable ? 2 : 1)
    t.equal(table.idOf('venue', 'NEWUSD'), isDurable ? 2 : 0, 'durable is visible')
    t.equal(table.add('venue', 'OTHER-USD'), isDurable ? 3 : 2, 'others go on')
    t.equal(table.add('venue', 'NEW-USD', 'NEWUSD'), isDurable ? 2 : 3)
    const next = loaded(path)
    for (const symbol of ['OLD-USD', 'NEW-USD', 'OTHER-USD']) {
      t.equal(next.idOf('venue', symbol), table.idOf('venue', symbol), 'the same after a restart')
    }
  })
}

t.test('half a line that was being written is cut off', async (t) => {
  const { path, log, table } = setUp(t)
  const whole = readFileSync(path, 'utf8')
  appendFileSync(path, '{"id":2,"venue":"ve')
  log.mend(table)
  t.equal(readFileSync(path, 'utf8'), whole)
  t.equal(table.count, 1)
})

t.test('names that were findable and not counted are not written over', async (t) => {
  const { memory, log, table } = setUp(t)
  table.add('venue', 'NEW-USD', 'NEWUSD')
  const words = new Int32Array(memory)
  // As if the thread had ended before the last store of add().
  const nameCount = words[INSTRUMENT_WORD.nameCount] as number
  words[INSTRUMENT_WORD.nameCount] = nameCount - 2
  log.mend(table)
  t.equal(words[INSTRUMENT_WORD.nameCount], nameCount)
  t.equal(table.add('venue', 'THIRD-USD', 'THIRDUSD'), 3)
  t.equal(table.idOf('venue', 'NEWUSD'), 2)
  t.equal(table.idOf('venue', 'NEW-USD'), 2)
})
