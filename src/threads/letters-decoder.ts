// What a dead letter is under the code and configuration of today: records, or why there are none.
//
// Each letter gets a decoder of its own: the books of the living feed are not touched, and a depth
// update is what it is without the ones before it. A quarantined record is decoded anew where its
// message still gives it, otherwise taken as it was decoded then, and judged by the rules of today.

import type { Config } from '../config/schema.ts'
import { DecodeTally } from '../decode/decoder.ts'
import { createDecoder, isFrameFormat } from '../decode/formats.ts'
import { IGNORE_REASONS, QUARANTINE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { BATCH_TICKS_MAX } from '../limits.ts'
import { FRAME_FLAG, type FrameMeta } from '../ring/frame-ring.ts'
import { TickBatch } from '../tick/batch.ts'
import type { InstrumentTable } from '../tick/instruments.ts'
import { FLAG, OFFSET, TICK_BYTES } from '../tick/layout.ts'
import type { DeadLetter } from '../validate/dead-letter-reader.ts'
import type { Reading } from '../validate/dead-letter-replay.ts'
import { Validator } from '../validate/rules.ts'

const NS_PER_SEC = 1_000_000_000n
const WORD_BYTES = 8
/** Of a record, what says that it is the same one: instrument, source; kind, side. */
const IDENTITY = [OFFSET.instrument, OFFSET.flags] as const

export interface LettersDecoderOptions {
  readonly config: Config
  readonly instruments: InstrumentTable
}

export class LettersDecoder {
  readonly #options: LettersDecoderOptions
  readonly #batch = new TickBatch(BATCH_TICKS_MAX)
  readonly #one = new TickBatch(1)
  readonly #tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, BATCH_TICKS_MAX)
  readonly #validator: Validator

  constructor(options: LettersDecoderOptions) {
    this.#options = options
    // Repeats are for decode to find, which knows the trades that went before.
    const config = { ...options.config.validate, duplicate_window: 0 }
    this.#validator = new Validator({ config, instruments: options.instruments })
  }

  read(letter: DeadLetter): Reading {
    const { sources } = this.#options.config
    const source = sources.findIndex(({ name }) => name === letter.sourceName)
    const settings = sources[source]
    if (settings === undefined) return { is: 'skipped', why: 'unknown_source' }
    const { shard } = settings
    if (letter.record !== undefined) return this.#readRecord(letter, letter.record, source, shard)
    if (letter.cutBytes > 0) return { is: 'skipped', why: 'cut' }
    const why = this.#decode(letter, source)
    if (why !== '') return { is: 'refused', why }
    const { count, bytes } = this.#batch
    if (count === 0) return { is: 'ignored', why: firstOf(IGNORE_REASONS, this.#tally.ignored) }
    return { is: 'records', shard, ticks: bytes.slice(0, count * TICK_BYTES) }
  }

  #readRecord(letter: DeadLetter, record: Uint8Array, source: number, shard: number): Reading {
    const one = this.#one
    one.bytes.set(record)
    one.setSource(0, source)
    one.addFlags(0, FLAG.REPLAYED)
    if (letter.stage === 'validate' && letter.cutBytes === 0) {
      const why = this.#decode(letter, source)
      if (why !== '') return { is: 'refused', why }
      this.#takeAnew(letter.ordinal)
    }
    const ticks = one.bytes.slice()
    one.count = 1
    this.#validator.validate(one)
    if (one.count === 1) return { is: 'records', shard, ticks }
    return { is: 'refused', why: firstOf(QUARANTINE_REASONS, this.#validator.quarantined) }
  }

  /** Puts the record that the message gives today in place of the one that it gave then. */
  #takeAnew(ordinal: number): void {
    if (ordinal >= this.#batch.count) return
    const at = ordinal * TICK_BYTES
    const anew = this.#batch.bytes.subarray(at, at + TICK_BYTES)
    const [from, end] = IDENTITY
    const isSame = Buffer.compare(anew.subarray(from, end), this.#one.bytes.subarray(from, end))
    if (isSame === 0) this.#one.bytes.set(anew)
  }

  /** Decodes the letter's message into the batch. Returns why it is refused; '' = it is not. */
  #decode({ bytes, format, recvNs }: DeadLetter, source: number): string {
    const { config, instruments } = this.#options
    this.#batch.count = 0
    this.#tally.reset()
    if (!isFrameFormat(format)) return 'unknown_format'
    const settings = config.sources[source]
    const venue = settings !== undefined && 'venue' in settings ? settings.venue : ''
    const meta: FrameMeta = {
      source,
      format,
      flags: FRAME_FLAG.REPLAYED,
      token: 0,
      recvSec: Number(recvNs / NS_PER_SEC),
      recvNsec: Number(recvNs % NS_PER_SEC),
    }
    try {
      const decoder = createDecoder(format, { venue, instruments })
      // A copy, with room behind it as on a ring: kernels look at whole words.
      const message = new Uint8Array(bytes.length + WORD_BYTES)
      message.set(bytes)
      decoder.decode(message, 0, bytes.length, meta, this.#batch, this.#tally)
    } catch {
      return 'decoder_crash'
    }
    return firstOf(REJECT_REASONS, this.#tally.rejected)
  }
}

/** The first name whose count is not zero; '' when there is none. */
function firstOf(names: readonly string[], counts: Float64Array): string {
  return names[counts.findIndex((count) => count > 0)] ?? ''
}
