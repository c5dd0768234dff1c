// The journal against a model: what was synced is read back exactly, nothing is invented.
//
// A crash leaves any part of what was not yet fsynced: cut anywhere, bytes of it wrong, or all of
// it. Ticks appended after a crash differ from those that had the same sequences before (`salt`),
// so that a record that should be gone is told from the one that took its place.

import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { SimulatedClock } from '../../src/clock.ts'
import { blockBytes } from '../../src/journal/headers.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { openJournal } from '../../src/journal/recovery.ts'
import { listSegments, segmentPath } from '../../src/journal/segment-files.ts'
import { verifyJournal } from '../../src/journal/verify.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { emptyShard, putTicks, TestWriter, wrongTick } from '../unit/journal/journal-fixture.ts'

const RUNS = 40
const OPERATIONS = 60
const SEGMENT_BYTES = 96 * 1024
const APPEND_TICKS_MAX = 300

const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 32))
t.comment(`TICKD_SEED=${seed}`)

/** Whole numbers in [0, below), from a seed. */
function randomOf(start: number): (below: number) => number {
  let state = start >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

class Model {
  readonly directory: string
  readonly #random: (below: number) => number
  /** The salt of each tick appended: one a start. */
  #salts: number[] = []
  #salt = 0
  #epoch = 0
  #writer: JournalWriter
  /** Size of the open segment at the last fsync; its bytes beyond are at a crash's mercy. */
  #syncedBytes = 0

  constructor(directory: string, random: (below: number) => number) {
    this.directory = directory
    this.#random = random
    this.#writer = this.#open()
  }

  step(): void {
    const kind = this.#random(20)
    if (kind < 11) this.#append()
    else if (kind < 17) this.#sync()
    else if (kind < 19) this.#crash()
    else this.#stop()
  }

  finish(): void {
    this.#stop()
    this.check(this.#salts.length)
    this.#writer.abandon()
  }

  /** Reads [0, toSeq) in batches of any size and compares every word. */
  check(toSeq: number): void {
    const batch = new TickBatch(1 + this.#random(2000))
    const { directory } = this
    const reader = new JournalReader({ directory, fromSeq: 0, durable: () => toSeq })
    let seq = 0
    while (reader.read(batch) > 0) {
      // A batch is of one epoch, and a salt is of one epoch: it has one salt.
      const wrong = wrongTick(batch, seq, this.#salts[seq] as number)
      if (wrong !== -1) throw new Error(`record ${seq + wrong} is not what was appended`)
      seq += batch.count
    }
    reader.close()
    if (seq !== toSeq) throw new Error(`${seq} records were read of ${toSeq}`)
  }

  #open(): JournalWriter {
    const { nextSeq, epoch } = openJournal(this.directory, 0)
    if (epoch <= this.#epoch) throw new Error(`epoch ${epoch} follows ${this.#epoch}`)
    this.#epoch = epoch
    this.#salt++
    this.#salts.length = nextSeq
    this.#syncedBytes = 0
    return new JournalWriter({
      directory: this.directory,
      shard: 0,
      epoch,
      nextSeq,
      segmentBytes: SEGMENT_BYTES,
      clock: new SimulatedClock(),
      onSealed: () => {},
    })
  }

  #append(): void {
    const count = 1 + this.#random(APPEND_TICKS_MAX)
    const bytes = new Uint8Array(count * TICK_BYTES)
    putTicks(bytes, 0, this.#writer.nextSeq, count, this.#salt)
    this.#writer.append(bytes, 0, count)
    for (let i = 0; i < count; i++) this.#salts.push(this.#salt)
    // The first block of a new segment: rolling has synced all before it, and the header.
    if (this.#writer.openBytes === 64 + blockBytes(count)) this.#syncedBytes = 64
  }

  #sync(): void {
    this.#writer.sync()
    this.#syncedBytes = this.#writer.openBytes
    this.check(this.#writer.durableSeq)
  }

  #stop(): void {
    this.#writer.close()
    const wanted = this.#salts.length
    this.#writer = this.#open()
    if (this.#salts.length !== wanted) throw new Error('an ordered stop lost records')
  }

  #crash(): void {
    const { durableSeq, nextSeq } = this.#writer
    this.#writer.abandon()
    this.#damageUnsynced()
    this.#writer = this.#open()
    const { length } = this.#salts
    if (length < durableSeq) throw new Error(`records ${length} to ${durableSeq - 1} were durable`)
    if (length > nextSeq) throw new Error(`records from ${nextSeq} on were never appended`)
    this.check(length)
  }

  #damageUnsynced(): void {
    const newest = listSegments(this.directory).at(-1)
    if (newest === undefined) return
    const path = segmentPath(this.directory, newest)
    const unsynced = statSync(path).size - this.#syncedBytes
    if (this.#syncedBytes === 0 || unsynced <= 0) return
    const how = this.#random(4)
    if (how === 1 || how === 3) truncateSync(path, this.#syncedBytes + this.#random(unsynced + 1))
    if (how < 2) return
    const file = readFileSync(path)
    for (let n = 1 + this.#random(5); n > 0 && file.length > this.#syncedBytes; n--) {
      const at = this.#syncedBytes + this.#random(file.length - this.#syncedBytes)
      file.subarray(at, at + 1 + this.#random(3000)).fill(this.#random(256))
    }
    writeFileSync(path, file)
  }
}

t.test('whatever is appended, synced, crashed and reopened, the model agrees', async (t) => {
  for (let run = 0; run < RUNS; run++) {
    const random = randomOf(seed + run)
    const model = new Model(emptyShard(t), random)
    try {
      for (let operation = 0; operation < OPERATIONS; operation++) model.step()
      model.finish()
      const { faults } = verifyJournal(model.directory)
      if (faults.length > 0) throw new Error(`a whole journal has faults: ${faults[0]?.what}`)
    } catch (thrown) {
      t.error(thrown, `run ${run} of seed ${seed}`)
      return
    }
  }
  t.pass(`${RUNS} runs`)
})

t.test('a flipped bit anywhere is found, with the records that it hits', async (t) => {
  const random = randomOf(seed)
  const directory = emptyShard(t)
  const { writer, append } = new TestWriter({ directory, segmentBytes: SEGMENT_BYTES })
  while (writer.nextSeq < 5000) append(1 + random(APPEND_TICKS_MAX))
  writer.close()
  const firstSeqs = listSegments(directory)
  for (let flip = 0; flip < 200; flip++) {
    const index = random(firstSeqs.length)
    const path = segmentPath(directory, firstSeqs[index] as number)
    const whole = readFileSync(path)
    const offset = random(whole.length)
    const damaged = Buffer.from(whole)
    damaged[offset] = (damaged[offset] as number) ^ (1 << random(8))
    writeFileSync(path, damaged)
    const { faults } = verifyJournal(directory)
    writeFileSync(path, whole)
    const end = firstSeqs[index + 1] ?? writer.nextSeq
    const [fromSeq, toSeq] = rangeAt(whole, offset, firstSeqs[index] as number, end)
    const found = faults.map((fault) => [fault.file, fault.fromSeq, fault.toSeq])
    // A newest segment whose seal is gone looks as after a crash: open, with a torn tail.
    const isOpenTail = index === firstSeqs.length - 1 && fromSeq === toSeq
    const wanted = isOpenTail ? [] : [[path, fromSeq, toSeq]]
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      t.same(found, wanted, `offset ${offset} of ${path}, seed ${seed}`)
      return
    }
  }
  t.pass('each flip was found where it was')
})

/** Which records the byte at `offset` of a whole segment has a part in. */
function rangeAt(file: Buffer, offset: number, firstSeq: number, endSeq: number): [number, number] {
  if (offset < 64) return [firstSeq, endSeq]
  let seq = firstSeq
  for (let at = 64; ; ) {
    const count = file.readUInt32LE(at + 4)
    if (offset < at + 64 * (1 + count)) return [seq, seq + count]
    at += 64 * (1 + count)
    seq += count
  }
}
