// A journal of many gigabytes, as a daemon would have written it, made at the speed of the disk.

import { SystemClock } from '../../src/clock.ts'
import { realDisk } from '../../src/journal/disk.ts'
import { openJournal } from '../../src/journal/recovery.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { JOURNAL_BLOCK_TICKS_MAX } from '../../src/limits.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_BYTES, TICK_WORDS, WORD } from '../../src/tick/layout.ts'

const SEGMENT_BYTES = 128 * 2 ** 20
const PRICE = 1_500_000_000
const SIZE = 100_000_000
const FIRST_SEC = 1_767_225_600

/**
 * Appends `bytes` of trades of an instrument to the journal in `directory`, of a daemon that is
 * stopped. Returns the sequence that comes next.
 */
export function growJournal(
  directory: string,
  shard: number,
  instrument: number,
  bytes: number,
): number {
  const { epoch, identity, nextSeq } = openJournal(directory, shard, realDisk)
  const writer = new JournalWriter({
    directory,
    shard,
    epoch,
    identity,
    nextSeq,
    segmentBytes: SEGMENT_BYTES,
    clock: new SystemClock(),
    onSealed: () => {},
  })
  const batch = trades(instrument)
  const end = nextSeq + Math.floor(bytes / TICK_BYTES)
  while (writer.nextSeq < end) writer.append(batch.bytes, 0, JOURNAL_BLOCK_TICKS_MAX)
  writer.close()
  return writer.nextSeq
}

function trades(instrument: number): TickBatch {
  const batch = new TickBatch(JOURNAL_BLOCK_TICKS_MAX)
  for (let i = 0; i < JOURNAL_BLOCK_TICKS_MAX; i++) {
    const at = i * TICK_WORDS
    batch.clear(i)
    batch.setInstrument(i, instrument)
    batch.setKindSide(i, KIND.trade, SIDE.buy)
    writeSplit(batch.words, at + WORD.ts_event, false, FIRST_SEC, i)
    writeSplit(batch.words, at + WORD.ts_recv, false, FIRST_SEC, i)
    writeInteger(batch.words, at + WORD.p0, PRICE)
    writeInteger(batch.words, at + WORD.p1, SIZE)
    writeInteger(batch.words, at + WORD.p2, i)
  }
  batch.count = JOURNAL_BLOCK_TICKS_MAX
  return batch
}
