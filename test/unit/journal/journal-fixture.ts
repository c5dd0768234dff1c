// What the journal's tests share: temporary directories, ticks that know their sequence, a writer.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimulatedClock } from '../../../src/clock.ts'
import type { Disk } from '../../../src/journal/disk.ts'
import { JournalReader } from '../../../src/journal/reader.ts'
import type { SegmentInfo } from '../../../src/journal/segment-files.ts'
import { shardDirectory } from '../../../src/journal/segment-files.ts'
import { JournalWriter } from '../../../src/journal/writer.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { TICK_BYTES, TICK_WORDS } from '../../../src/tick/layout.ts'

interface Teardown {
  teardown(fn: () => void): void
}

/** An empty shard-0 in a state directory of its own, removed when the test is over. */
export function emptyShard(t: Teardown): string {
  const state = mkdtempSync(join(tmpdir(), 'tickd-journal-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  const directory = shardDirectory(state, 0)
  mkdirSync(directory, { recursive: true })
  return directory
}

/** Word `word` of the tick with sequence `seq`: any two ticks differ in each of their words. */
function tickWord(seq: number, word: number, salt: number): number {
  return (Math.imul(seq + 1, 0x9e3779b1) ^ Math.imul(word + 1 + salt, 0x85ebca6b)) | 0
}

/** Writes `count` ticks from sequence `firstSeq` on into `bytes`, at tick `index`. */
export function putTicks(
  bytes: Uint8Array,
  index: number,
  firstSeq: number,
  count: number,
  salt = 0,
): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  for (let i = 0; i < count; i++) {
    for (let word = 0; word < TICK_WORDS; word++) {
      words[(index + i) * TICK_WORDS + word] = tickWord(firstSeq + i, word, salt)
    }
  }
}

/** Index of the first of the batch's ticks that is not the one of its sequence; -1 for none. */
export function wrongTick(batch: TickBatch, firstSeq: number, salt = 0): number {
  for (let i = 0; i < batch.count; i++) {
    for (let word = 0; word < TICK_WORDS; word++) {
      const wanted = tickWord(firstSeq + i, word, salt)
      if (batch.words[i * TICK_WORDS + word] !== wanted) return i
    }
  }
  return -1
}

export interface WriterSettings {
  directory: string
  nextSeq?: number
  epoch?: number
  segmentBytes?: number
  disk?: Disk
}

/** A writer of shard 0 whose ticks are those of `putTicks`. */
export class TestWriter {
  readonly writer: JournalWriter
  readonly sealed: SegmentInfo[] = []
  readonly clock = new SimulatedClock()

  constructor(settings: WriterSettings) {
    const { directory, nextSeq = 0, epoch = 1, segmentBytes = 2 ** 20, disk } = settings
    this.writer = new JournalWriter({
      disk,
      directory,
      shard: 0,
      epoch,
      nextSeq,
      segmentBytes,
      clock: this.clock,
      onSealed: (segment) => this.sealed.push(segment),
    })
  }

  readonly append = (count: number): void => {
    const bytes = new Uint8Array(count * TICK_BYTES)
    putTicks(bytes, 0, this.writer.nextSeq, count)
    this.writer.append(bytes, 0, count)
  }

  /** Appends and syncs. */
  readonly commit = (count: number): void => {
    this.append(count)
    this.writer.sync()
  }
}

/** Reads [fromSeq, toSeq) and checks every tick; the epochs in order, each once. */
export function readAll(
  directory: string,
  fromSeq: number,
  toSeq: number,
  capacity = 1000,
): { count: number; epochs: number[]; wrong: number } {
  const reader = new JournalReader({ directory, fromSeq, durable: () => toSeq })
  const batch = new TickBatch(capacity)
  const epochs: number[] = []
  let count = 0
  let wrong = 0
  try {
    while (reader.read(batch) > 0) {
      if (wrongTick(batch, fromSeq + count) !== -1) wrong++
      if (epochs.at(-1) !== reader.epoch) epochs.push(reader.epoch)
      count += batch.count
    }
  } finally {
    reader.close()
  }
  return { count, epochs, wrong }
}
