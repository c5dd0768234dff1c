// The decode stage of a shard: frames in, validated ticks and dead letters out.
//
// Works in groups: consecutive frames of one source are decoded into one batch, validated,
// published in one piece, counted and released together. A frame that wants a receipt is a group
// of its own. Nothing of a group is counted or released before it is published, so that after a
// crash the whole group is done again, by fresh decoders, and counted once. (Dead letters of
// rejected messages may then come twice. Make a fresh validator with the agent: one that remembers
// the trades of a group that was never published would drop them as repeats.)
//
//   poll, decode, keep …  →  validate  →  publish  →  count, release  →  receipt
//                                         └ no room: try again next cycle ┘
//
// A decoder that throws is a bug: it is counted, and the agent goes down with it to be made anew.
// A frame in whose work that happened twice is a dead letter at the third attempt.
//
// Invariants (per source, after each group): messages = decoded + ignored + rejected; records =
// accepted + duplicate + quarantined.

import type { Clock } from '../clock.ts'
import { assert, errorText } from '../errors.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { BATCH_TICKS_MAX, FRAME_BYTES_MAX, GROUP_FRAMES_MAX, GROUP_TICKS } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { Log } from '../ops/log.ts'
import { BATCH_PREFIX_BYTES } from '../ring/batch-mark.ts'
import type { FeedbackSender, Receipt } from '../ring/feedback.ts'
import { FRAME_FLAG, type FrameMeta, type FrameRingConsumer } from '../ring/frame-ring.ts'
import type { GroupCommit } from '../ring/group-commit.ts'
import type { TickRingProducer } from '../ring/tick-ring.ts'
import type { Agent } from '../threads/agent.ts'
import { TickBatch } from '../tick/batch.ts'
import type { BookRequests } from './book-requests.ts'
import { add, addAll, COUNTER, COUNTER_COUNT, copy, sum } from './counting.ts'
import { type Decoder, DecodeTally } from './decoder.ts'
import type { DeadLetterBox, TickValidator } from './judges.ts'
import type { PoisonList } from './poison-list.ts'
import { BATCH, type PushedBatches } from './pushed-batches.ts'

export type DecodeCounters = CounterSet<CounterName<'decode'>>

/** One producer of frames: its ring, and the ring that takes receipts and resyncs back to it. */
export interface DecodeInput {
  readonly ring: FrameRingConsumer
  readonly feedback: FeedbackSender
}

export interface DecodeAgentOptions {
  readonly shard: number
  readonly inputs: readonly DecodeInput[]
  readonly ticks: TickRingProducer
  /** Makes the end of a group one step; without it a crash within that step may repeat it. */
  readonly commit?: GroupCommit | undefined
  /** Frames that were set aside; a copy of one is set aside at once. */
  readonly poison?: PoisonList | undefined
  /** A frame was set aside. */
  readonly onPoison?: ((source: number, frameBytes: number) => void) | undefined
  /** Makes the decoder of a source's frames of a FRAME_FORMAT; undefined when there is none. */
  readonly decoders: (source: number, format: number) => Decoder | undefined
  /** Another one was before it in this epoch. */
  readonly isSuccessor?: boolean
  /** Books that serve wants resynchronised. */
  readonly bookRequests?: BookRequests
  readonly validator: TickValidator
  /** Batches whose pushers gave them an id; no frame has one where it is not given. */
  readonly batches?: PushedBatches
  readonly deadLetters: DeadLetterBox
  /** The 'decode' counters of a source. */
  readonly counters: (source: number) => DecodeCounters
  readonly clock: Clock
  readonly log: Log
}

/** A frame is given to a decoder so many times; then it is a dead letter. */
const ATTEMPTS_MAX = 2
/** Dead letters wait in memory for at most so long (plus one idle period). */
const LETTERS_FLUSH_MS = 500
/** Frames of a group, in payload bytes: well under what the frame ring holds. */
const GROUP_BYTES = FRAME_BYTES_MAX
const FORMATS_MAX = 256
const REJECT = Object.freeze({
  unknownFormat: REJECT_REASONS.indexOf('unknown_format'),
  decoderCrash: REJECT_REASONS.indexOf('decoder_crash'),
  batchIdReused: REJECT_REASONS.indexOf('batch_id_reused'),
})

/** Where a group stands. */
const PHASE = Object.freeze({ empty: 0, decoded: 1, announced: 2, published: 3 })
/** The group is no frame of a pushed batch with an id (else: BATCH). */
const UNMARKED = -1

export class DecodeAgent implements Agent {
  readonly roleName: string
  readonly #options: DecodeAgentOptions
  readonly #decoders = new Map<number, Decoder>()
  /** Counters of the group's source as they will be: the commit's, or our own. */
  readonly #after: Float64Array
  readonly #batch = new TickBatch(BATCH_TICKS_MAX + GROUP_TICKS)
  readonly #tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, BATCH_TICKS_MAX + GROUP_TICKS)
  /** Index of the input whose turn it is. */
  #turn = 0
  #lettersFlushedMs: number

  // The group at hand.
  #phase: number = PHASE.empty
  #input: DecodeInput
  #source = 0
  #format = 0
  #wantsReceipt = false
  /** Of a frame with ADMIT_REPEATS, which wants a receipt too: it is a group of its own. */
  #admitsRepeats = false
  /** What the frame is that has the mark of a batch: BATCH, or UNMARKED. */
  #pushed = UNMARKED
  #frameCount = 0
  #frameBytes = 0
  #recordCount = 0
  /** The message whose record was quarantined last: its first byte, its first record. */
  #messageStart = -1
  #messageIndex = 0
  readonly #receipt: Receipt = {
    token: 0,
    source: 0,
    firstSeq: 0,
    accepted: 0,
    duplicate: 0,
    rejected: 0,
    repeated: 0,
    isReused: false,
  }

  constructor(options: DecodeAgentOptions) {
    const input = options.inputs[0]
    assert(input !== undefined, 'a decode agent has an input')
    this.roleName = `decode-${options.shard}`
    this.#options = options
    this.#input = input
    this.#after = options.commit?.after ?? new Float64Array(COUNTER_COUNT)
    this.#lettersFlushedMs = options.clock.monoMs()
    this.#tally.isResumed = options.isSuccessor === true
    this.#tally.onReject = (reason, bytes, start, end) => {
      // What a repeated batch has of bad messages was kept the first time.
      if (this.#pushed === BATCH.repeat) return
      options.deadLetters.addMessage(reason, this.#input.ring.meta, bytes, start, end)
    }
    this.#tally.onGap = (instrument) => {
      // A request that finds no room is lost: it is repeated at the next gap.
      this.#input.feedback.resync(this.#source, instrument)
    }
    options.validator.onQuarantine = (reason, batch, index) => {
      const start = this.#tally.origins[index * 2] as number
      const end = this.#tally.origins[index * 2 + 1] as number
      const { bytes } = this.#input.ring
      const nth = this.#ordinalOf(index, start)
      options.deadLetters.addRecord(reason, this.#format, batch, index, bytes, start, end, nth)
    }
  }

  /** Finishes the group at whose end a predecessor ended. */
  onStart(): void {
    const { commit, ticks, inputs, counters } = this.#options
    const pending = commit?.pending(ticks.position)
    if (commit === undefined || pending === undefined) return
    copy(commit.after, counters(pending.source).values)
    inputs[pending.input]?.ring.passOver(pending.framePosition)
    commit.done()
  }

  /** One group of each input, in turn. Returns frames taken; 0 also while there is no room. */
  doWork(): number {
    const options = this.#options
    const { inputs } = options
    let work = 0
    options.bookRequests?.drain(this.#decoders, FORMATS_MAX)
    let free = (options.batches?.begin(options.ticks.seq) ?? true) && this.#settle()
    for (let i = 0; i < inputs.length && free; i++) {
      work += this.#gather(inputs[this.#turn] as DecodeInput)
      this.#turn = (this.#turn + 1) % inputs.length
      free = this.#settle()
    }
    this.#tendLetters()
    return work
  }

  /** True when no frame is left on the rings and all that was taken is published. */
  drain(): boolean {
    if (this.#phase !== PHASE.empty) return false
    return this.#options.inputs.every(({ ring }) => !ring.poll())
  }

  onClose(): void {
    this.#options.deadLetters.close()
  }

  /** Decodes and validates the next group of an input. Returns its frames; 0 = none waits. */
  #gather(input: DecodeInput): number {
    const { ring } = input
    if (!ring.poll()) return 0
    this.#begin(input)
    do {
      this.#take(ring)
    } while (!this.#isFull(ring) && ring.poll() && this.#belongs(ring.meta))
    this.#recordCount = this.#batch.count
    if (this.#pushed === BATCH.repeat) this.#batch.count = 0
    this.#options.validator.validate(this.#batch, this.#admitsRepeats)
    ring.endAttempts()
    this.#phase = PHASE.decoded
    return this.#frameCount
  }

  #begin(input: DecodeInput): void {
    const { meta } = input.ring
    this.#input = input
    this.#source = meta.source
    this.#format = meta.format
    this.#wantsReceipt = (meta.flags & FRAME_FLAG.WANT_RECEIPT) !== 0
    this.#admitsRepeats = (meta.flags & FRAME_FLAG.ADMIT_REPEATS) !== 0
    this.#receipt.token = meta.token
    this.#pushed = UNMARKED
    this.#frameCount = 0
    this.#frameBytes = 0
    this.#messageStart = -1
    this.#batch.count = 0
    this.#tally.reset()
  }

  #isFull(ring: FrameRingConsumer): boolean {
    return (
      this.#wantsReceipt ||
      this.#batch.count >= GROUP_TICKS ||
      this.#frameCount >= GROUP_FRAMES_MAX ||
      this.#frameBytes >= GROUP_BYTES ||
      ring.recovering
    )
  }

  #belongs(meta: FrameMeta): boolean {
    const wantsReceipt = (meta.flags & FRAME_FLAG.WANT_RECEIPT) !== 0
    return meta.source === this.#source && meta.format === this.#format && !wantsReceipt
  }

  /** Decodes the polled frame into the batch, and keeps it on its ring. */
  #take(ring: FrameRingConsumer): void {
    const { meta, bytes, end } = ring
    const { log, poison } = this.#options
    const { source, format } = meta
    const start = this.#look(ring)
    this.#frameCount++
    this.#frameBytes += end - start
    this.#batch.capacity = this.#batch.count + BATCH_TICKS_MAX
    const attempt = ring.beginAttempt()
    const decoder = this.#decoderOf(source, format)
    if (attempt > ATTEMPTS_MAX) {
      log.error(
        { source, format, frameBytes: end - start },
        'frame crashed decode twice: set aside',
      )
      poison?.add(bytes, start, end)
      this.#options.onPoison?.(source, end - start)
      this.#tally.reject(REJECT.decoderCrash, bytes, start, end)
    } else if (poison !== undefined && !poison.isEmpty && poison.has(bytes, start, end)) {
      this.#tally.reject(REJECT.decoderCrash, bytes, start, end)
    } else if (this.#pushed === BATCH.reused) {
      this.#tally.reject(REJECT.batchIdReused, bytes, start, end)
    } else if (decoder === undefined) {
      this.#tally.reject(REJECT.unknownFormat, bytes, start, end)
    } else {
      try {
        const behind = this.#wantsReceipt ? 0 : ring.behindEnd
        decoder.decode(bytes, start, end, meta, this.#batch, this.#tally, behind)
      } catch (error) {
        const fields = { source, format, frameBytes: end - start, attempt, error: errorText(error) }
        log.error(fields, 'decoder threw: a bug of ours; the frame is tried twice')
        this.#options.counters(source).add('decoder_crashes')
        throw error
      }
    }
    ring.keep()
  }

  /** Where the payload proper of the polled frame begins; notes what its batch is. */
  #look({ meta, bytes, start, end }: FrameRingConsumer): number {
    if ((meta.flags & FRAME_FLAG.MARKED) === 0) return start
    const { batches } = this.#options
    assert(batches !== undefined && this.#wantsReceipt, 'a marked frame is a group of its own')
    this.#pushed = batches.look(bytes, start, end)
    return start + BATCH_PREFIX_BYTES
  }

  /** Which record of its message, which began at `start`, record `index` of the batch is. */
  #ordinalOf(index: number, start: number): number {
    const { origins } = this.#tally
    // Quarantined records come in order: those of one message share the look for its first.
    if (this.#messageStart !== start || this.#messageIndex > index) this.#messageIndex = index
    this.#messageStart = start
    while (this.#messageIndex > 0 && origins[this.#messageIndex * 2 - 2] === start) {
      this.#messageIndex--
    }
    return index - this.#messageIndex
  }

  #decoderOf(source: number, format: number): Decoder | undefined {
    const key = source * FORMATS_MAX + format
    const known = this.#decoders.get(key)
    if (known !== undefined) return known
    const decoder = this.#options.decoders(source, format)
    if (decoder !== undefined) this.#decoders.set(key, decoder)
    return decoder
  }

  /** Publishes, counts, releases and receipts the group at hand. False = no room, try again. */
  #settle(): boolean {
    if (this.#phase === PHASE.decoded) {
      this.#judge()
      const isMarked = this.#pushed === BATCH.fresh && this.#batch.count > 0
      if (isMarked && this.#options.batches?.announce(this.#receipt) === false) return false
      this.#prepare()
      this.#phase = PHASE.announced
    }
    if (this.#phase === PHASE.announced) {
      const { ticks } = this.#options
      const { count } = this.#batch
      if (count > 0 && ticks.publish(this.#batch, 0, count) === -1) return false
      copy(this.#after, this.#options.counters(this.#source).values)
      // Released before the receipt has gone: were we to crash while we wait for room for it, a
      // receipt would be missing, which its producer can bear, rather than records stand twice.
      this.#input.ring.releaseKept()
      this.#options.commit?.done()
      this.#phase = PHASE.published
    }
    if (this.#phase === PHASE.published) {
      const { feedback } = this.#input
      if (this.#wantsReceipt && !feedback.receipt(this.#receipt)) return false
      this.#phase = PHASE.empty
    }
    return true
  }

  /** The receipt of the group at hand, whose records will lie where the tick ring is now. */
  #judge(): void {
    const { validator, ticks, batches } = this.#options
    const receipt = this.#receipt
    receipt.source = this.#source
    receipt.firstSeq = ticks.seq
    receipt.accepted = this.#batch.count
    receipt.duplicate = validator.duplicateCount
    receipt.rejected = sum(this.#tally.rejected) + validator.quarantinedCount
    receipt.repeated = 0
    receipt.isReused = this.#pushed === BATCH.reused
    if (this.#pushed === BATCH.repeat) batches?.repeat(receipt)
  }

  /** Written ahead: from the publication on, the group is counted and its frames are released. */
  #prepare(): void {
    const { commit, counters, inputs, ticks } = this.#options
    this.#after.set(counters(this.#source).values)
    this.#count(this.#after)
    commit?.prepare((ticks.position + this.#batch.count) | 0, {
      input: inputs.indexOf(this.#input),
      framePosition: this.#input.ring.keptPosition,
      source: this.#source,
    })
  }

  /** Adds the group to counters. */
  #count(values: Float64Array): void {
    const { validator } = this.#options
    const tally = this.#tally
    // First and last: a reader that finds the two equal has not read a half-counted group.
    add(values, COUNTER.groups_begun, 1)
    add(values, COUNTER.frames, this.#frameCount)
    add(values, COUNTER.bytes, this.#frameBytes)
    add(values, COUNTER.messages, tally.messages)
    add(values, COUNTER.messages_decoded, tally.decoded)
    add(values, COUNTER.records, this.#recordCount)
    add(values, COUNTER.records_accepted, this.#batch.count)
    // All records of a repeated batch are repeats, whatever the rules would say of them.
    const isRepeat = this.#pushed === BATCH.repeat
    const duplicateCount = isRepeat ? this.#recordCount : validator.duplicateCount
    add(values, COUNTER.records_duplicate, duplicateCount)
    add(values, COUNTER.batches, this.#pushed === BATCH.fresh ? 1 : 0)
    add(values, COUNTER.batches_repeated, isRepeat ? 1 : 0)
    add(values, COUNTER.records_quarantined, validator.quarantinedCount)
    add(values, COUNTER.gaps, tally.gaps)
    add(values, COUNTER.gap_missing, tally.idsMissing)
    addAll(values, COUNTER.events_trade, tally.events)
    addAll(values, COUNTER.ignored_control, tally.ignored)
    addAll(values, COUNTER.rejected_bad_json, tally.rejected)
    if (validator.quarantinedCount > 0) {
      addAll(values, COUNTER.quarantined_price_out_of_range, validator.quarantined)
    }
    add(values, COUNTER.groups, 1)
  }

  #tendLetters(): void {
    const nowMs = this.#options.clock.monoMs()
    if (nowMs - this.#lettersFlushedMs < LETTERS_FLUSH_MS) return
    this.#lettersFlushedMs = nowMs
    this.#options.deadLetters.flush()
  }
}
