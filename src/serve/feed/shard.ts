// One shard, as the feed sees it: what its ring carries is counted and routed; what the ring lost
// is counted out of the journal before anything behind it is routed, so that sequences hold.
//
// The same makes an agent whole that was made anew in the midst of an epoch: it counts from the
// last checkpoint to where its ring begins.

import { errorText, TickdError } from '../../errors.ts'
import { FEED_RECOUNT_TICKS, FEED_REPLAY_TICKS } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { TickBatch } from '../../tick/batch.ts'
import { readSplit, type Split } from '../../tick/fixed-point.ts'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { KIND, TICK_WORDS, WORD } from '../../tick/layout.ts'
import { Checkpoints } from './checkpoints.ts'
import type { FeedJournal, JournalCursor } from './feed-journal.ts'
import { Router, type RouterOptions } from './router.ts'
import { Tally } from './tally.ts'

export interface FeedShardOptions {
  readonly shard: number
  readonly epoch: number
  /** Sequence of the first record that its ring will carry. */
  readonly nextSeq: number
  /** Wall clock, ms since 1970. */
  readonly nowMs: number
  /** undefined: nothing can be replayed, and what the ring loses is not counted. */
  readonly journal: FeedJournal | undefined
  /** Where checkpoints are kept; '' = in memory only. */
  readonly checkpointsPath: string
  /** It writes them there; else it only reads what is there. */
  readonly writesCheckpoints: boolean
  readonly instruments: InstrumentTable
  readonly log: Log
}

export class FeedShard {
  readonly shard: number
  readonly epoch: number
  readonly journal: FeedJournal | undefined
  readonly checkpoints: Checkpoints
  readonly tally: Tally
  readonly router: Router
  readonly #options: FeedShardOptions
  readonly #batch = new TickBatch(FEED_REPLAY_TICKS)
  #cursor: JournalCursor | undefined
  #checkpointSeq: number

  constructor(options: FeedShardOptions, routerOptions: RouterOptions) {
    const { shard, epoch, nextSeq, journal, instruments, checkpointsPath, log } = options
    const { writesCheckpoints: writes } = options
    this.#options = options
    this.shard = shard
    this.epoch = epoch
    this.journal = journal
    this.checkpoints = new Checkpoints(checkpointsPath, journal?.id ?? '', log, writes)
    if (journal !== undefined) this.checkpoints.begin(epoch, journal.firstSeq, options.nowMs)
    this.tally = new Tally(instruments.capacity, epoch, journal?.firstSeq ?? nextSeq)
    const last = this.checkpoints.list.findLast((each) => {
      return each.epoch === epoch && each.seq <= nextSeq && each.seq <= (journal?.durable() ?? 0)
    })
    if (last !== undefined && nextSeq > this.tally.seq) {
      this.tally.counts.set(last.counts)
      this.tally.seq = last.seq
    }
    this.#checkpointSeq = this.tally.seq
    this.router = new Router({ ...routerOptions, tally: this.tally })
  }

  /** Records [from, to) of a batch. */
  route(batch: TickBatch, from = 0, to = batch.count): void {
    this.router.route(batch, from, to)
    const { instruments, journal } = this.#options
    const interval = Checkpoints.intervalOf(instruments.count)
    if (journal === undefined || this.tally.seq - this.#checkpointSeq < interval) return
    this.#checkpointSeq = this.tally.seq
    const recvMs = recvMsOf(batch, to - 1)
    // With a store the way is not forgotten as soon as the journal forgets the records.
    const oldestSeq = journal.store === undefined ? journal.oldest() : journal.originSeq
    this.checkpoints.note(this.tally, instruments.count, recvMs, oldestSeq)
  }

  /**
   * Counts records before `toSeq` that the ring did not carry to us, out of the journal; a part in
   * each call. 'done', 'more' (or not durable yet: call again), or 'unknown': they cannot be read.
   * `onRead` is given what was read.
   */
  recount(toSeq: number, onRead: (batch: TickBatch) => void): 'done' | 'more' | 'unknown' {
    const { journal, log } = this.#options
    try {
      for (let read = 0; read < FEED_RECOUNT_TICKS && this.tally.seq < toSeq; ) {
        if (journal === undefined) break
        this.#cursor ??= journal.open(this.tally.seq, () => {})
        this.#batch.capacity = Math.min(FEED_REPLAY_TICKS, toSeq - this.tally.seq)
        const count = this.#cursor.read(this.#batch)
        if (count === 0) return 'more'
        this.#count(this.#batch)
        onRead(this.#batch)
        // Beyond those that are damaged: nobody will ever count them.
        this.tally.seq = this.#cursor.seq
        read += count
      }
    } catch (thrown) {
      if (!(thrown instanceof TickdError)) throw thrown
      log.error({ shard: this.shard, error: errorText(thrown) }, 'lost records cannot be counted')
      this.#end(toSeq)
      return 'unknown'
    }
    if (this.tally.seq < toSeq && journal !== undefined) return 'more'
    const isKnown = this.tally.seq >= toSeq
    this.#end(toSeq)
    return isKnown ? 'done' : 'unknown'
  }

  close(): void {
    this.#cursor?.close()
    this.#cursor = undefined
  }

  /** What the venue lost is told in its place. */
  #count(batch: TickBatch): void {
    let from = 0
    for (let i = 0; i < batch.count; i++) {
      if (batch.kind(i) !== KIND.status) continue
      this.tally.count(batch, from, i + 1)
      from = i + 1
      this.router.tellLost(batch, i)
    }
    this.tally.count(batch, from)
  }

  #end(seq: number): void {
    this.close()
    this.tally.seq = seq
  }
}

const split: Split = { negative: false, a: 0, b: 0 }

function recvMsOf(batch: TickBatch, index: number): number {
  readSplit(batch.words, index * TICK_WORDS + WORD.ts_recv, split)
  return split.a * 1000 + Math.floor(split.b / 1e6)
}
