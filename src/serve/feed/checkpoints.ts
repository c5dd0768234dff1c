// Places of a shard's journal where the sequence of every stream is known: counts, now and then.
//
// A replay begins at the nearest one before what it is asked for, and reads on from there. They are
// kept in memory, and in a file of lines beside the journal, so that they outlive the daemon. Only
// a help: without them a replay begins where the epoch does, or, where that is no longer kept,
// cannot be. So the file is not fsynced, a line that is damaged is passed over, and a disk that
// refuses is told once. Bounded: beyond BYTES_MAX every second one is forgotten. The counts are of
// the journal, the same whoever counts: where several threads serve, one writes the file and the
// others read it at their start.
//
// The beginning of each epoch is such a place, too, with no counts, and is never thinned out: a
// store that has older records than the journal (feed-journal.ts) does not know of epochs.

import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorText } from '../../errors.ts'
import {
  FEED_CHECKPOINT_BYTES_MAX,
  FEED_CHECKPOINT_TICKS,
  FEED_EPOCHS_MAX,
  INSTRUMENTS_MAX,
} from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { KIND_COUNT } from '../../tick/layout.ts'
import type { Tally } from './tally.ts'

export interface Checkpoint {
  readonly epoch: number
  /** The counts are of the records of the epoch before this journal sequence. */
  readonly seq: number
  /** When the last of them was received, ms since 1970 UTC. */
  readonly recvMs: number
  readonly counts: Float64Array
}

interface Line {
  journal: string
  epoch: number
  seq: number
  recv_ms: number
  /** Index, count, index, count … of those that are not zero. */
  counts: number[]
}

export class Checkpoints {
  readonly #path: string
  readonly #journal: string
  readonly #log: Log
  readonly #writes: boolean
  #list: Checkpoint[] = []
  #bytes = 0
  #fileBytes = 0
  #isTold = false

  /** `path` '' = in memory only. `journal`: its id. `writes`: of those who use a file, one does. */
  constructor(path: string, journal: string, log: Log, writes = true) {
    this.#path = path
    this.#writes = writes && path !== ''
    this.#journal = journal
    this.#log = log
    if (path === '') return
    for (const line of readLines(path)) {
      const checkpoint = parse(line, journal)
      if (checkpoint !== undefined) this.#put(checkpoint)
    }
    this.#list.sort((a, b) => a.epoch - b.epoch || a.seq - b.seq)
    if (this.#writes) this.#rewrite()
  }

  /** Ascending. */
  get list(): readonly Checkpoint[] {
    return this.#list
  }

  /** Records after which another one is due: more where one is large. */
  static intervalOf(instrumentCount: number): number {
    return Math.max(FEED_CHECKPOINT_TICKS, instrumentCount * KIND_COUNT * 16)
  }

  /** Notes where an epoch begins, once. What was noted before the journal was rolled back goes. */
  begin(epoch: number, seq: number, recvMs: number): void {
    const isSame = (each: Checkpoint) => each.epoch === epoch && each.seq === seq
    if (this.#list.some((each) => isBeginning(each) && isSame(each))) return
    this.#list = this.#list.filter((each) => each.epoch < epoch && each.seq <= seq)
    const oldest = this.#list.filter(isBeginning).at(-FEED_EPOCHS_MAX)
    if (oldest !== undefined) this.#list = this.#list.filter((each) => each.epoch >= oldest.epoch)
    this.#bytes = this.#list.reduce((sum, { counts }) => sum + counts.byteLength, 0)
    this.#put({ epoch, seq, recvMs, counts: new Float64Array(0) })
    if (this.#writes) this.#rewrite()
  }

  /** Notes where a tally stands. Forgets what lies before `oldestSeq`. */
  note(tally: Tally, instrumentCount: number, recvMs: number, oldestSeq: number): void {
    const counts = tally.counts.slice(0, (instrumentCount + 1) * KIND_COUNT)
    // As a line it would be a beginning.
    if (!counts.some((count) => count > 0)) return
    const kept = this.#list.filter(({ seq }) => seq >= oldestSeq)
    for (const { counts: gone } of this.#list) this.#bytes -= gone.byteLength
    this.#list = []
    for (const checkpoint of kept) this.#put(checkpoint)
    const checkpoint = { epoch: tally.epoch, seq: tally.seq, recvMs, counts }
    this.#put(checkpoint)
    if (!this.#writes) return
    if (this.#fileBytes > FEED_CHECKPOINT_BYTES_MAX) this.#rewrite()
    else this.#write(() => this.#append(format(checkpoint, this.#journal)))
  }

  #put(checkpoint: Checkpoint): void {
    this.#list.push(checkpoint)
    this.#bytes += checkpoint.counts.byteLength
    if (this.#bytes <= FEED_CHECKPOINT_BYTES_MAX) return
    const { length } = this.#list
    this.#list = this.#list.filter((each, i) => isBeginning(each) || (length - 1 - i) % 2 === 0)
    this.#bytes = this.#list.reduce((sum, { counts }) => sum + counts.byteLength, 0)
  }

  #append(text: string): void {
    appendFileSync(this.#path, text)
    this.#fileBytes += text.length
  }

  #rewrite(): void {
    this.#write(() => {
      const text = this.#list.map((checkpoint) => format(checkpoint, this.#journal)).join('')
      mkdirSync(dirname(this.#path), { recursive: true })
      writeFileSync(`${this.#path}.new`, text)
      renameSync(`${this.#path}.new`, this.#path)
      this.#fileBytes = text.length
    })
  }

  #write(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      if (this.#isTold) return
      this.#isTold = true
      const error = errorText(thrown)
      this.#log.warn({ path: this.#path, error }, 'places to replay from cannot be written')
    }
  }
}

/** Where no record of the epoch has been counted yet. */
export function isBeginning({ counts }: Checkpoint): boolean {
  return counts.length === 0
}

function format({ epoch, seq, recvMs, counts }: Checkpoint, journal: string): string {
  const pairs: number[] = []
  counts.forEach((count, index) => {
    if (count > 0) pairs.push(index, count)
  })
  const line: Line = { journal, epoch, seq, recv_ms: recvMs, counts: pairs }
  return `${JSON.stringify(line)}\n`
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}

function parse(text: string, journal: string): Checkpoint | undefined {
  let line: Partial<Line>
  try {
    line = (JSON.parse(text) ?? {}) as Partial<Line>
  } catch {
    return undefined
  }
  const { epoch, seq, recv_ms: recvMs, counts: pairs } = line
  if (line.journal !== journal || !Array.isArray(pairs) || pairs.length % 2 !== 0) return undefined
  if (![epoch, seq, recvMs, ...pairs].every((n) => Number.isSafeInteger(n))) return undefined
  const size = (pairs.at(-2) ?? -1) + 1
  if (size < 0 || size > (INSTRUMENTS_MAX + 1) * KIND_COUNT) return undefined
  const counts = new Float64Array(size)
  for (let i = 0; i < pairs.length; i += 2) counts[pairs[i] as number] = pairs[i + 1] as number
  return { epoch: epoch as number, seq: seq as number, recvMs: recvMs as number, counts }
}
