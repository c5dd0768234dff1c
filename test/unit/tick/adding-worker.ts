// A thread that is put to sleep in the middle of adding an instrument, before or after its line is
// durable, and never wakes: it is ended there.

import { workerData } from 'node:worker_threads'
import { InstrumentLog } from '../../../src/tick/instrument-log.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'

const { memory, capacity, path, owner, isDurable, signal } = workerData as {
  memory: SharedArrayBuffer
  capacity: number
  path: string
  owner: number
  isDurable: boolean
  signal: SharedArrayBuffer
}
const log = new InstrumentLog(path)
const words = new Int32Array(signal)
const table = new InstrumentTable(
  memory,
  capacity,
  (instrument) => {
    if (isDurable) log.append(instrument)
    // Tells the test, and sleeps for good.
    Atomics.store(words, 0, 1)
    // As above.
    Atomics.notify(words, 0)
    // As above: nobody wakes it.
    Atomics.wait(words, 1, 0)
  },
  owner,
)
table.add('venue', 'NEW-USD', 'NEWUSD')
