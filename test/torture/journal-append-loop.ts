// The victim of journal-kill.test.ts: appends and syncs until it is killed. After each fsync it
// prints the sequence up to which everything is durable: its acknowledgement.

import { writeSync } from 'node:fs'
import { SystemClock } from '../../src/clock.ts'
import { openJournal } from '../../src/journal/recovery.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { putTicks } from '../unit/journal/journal-fixture.ts'

const APPEND_TICKS_MAX = 500
const SEGMENT_BYTES = 256 * 1024

const directory = process.argv[2] as string
const { nextSeq, epoch } = openJournal(directory, 0)
const writer = new JournalWriter({
  directory,
  shard: 0,
  epoch,
  nextSeq,
  segmentBytes: SEGMENT_BYTES,
  clock: new SystemClock(),
  onSealed: () => {},
})
const bytes = new Uint8Array(APPEND_TICKS_MAX * TICK_BYTES)

for (;;) {
  for (let blocks = 1 + Math.floor(Math.random() * 5); blocks > 0; blocks--) {
    const count = 1 + Math.floor(Math.random() * APPEND_TICKS_MAX)
    putTicks(bytes, 0, writer.nextSeq, count)
    writer.append(bytes, 0, count)
  }
  writer.sync()
  writeSync(1, `${writer.durableSeq}\n`)
}
