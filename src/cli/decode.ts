// tickd decode FILE…: recorded frames -> normalised records on stdout, or a summary of what is in
// them. Touches no database, journal or network; instruments live as long as the command.
//
// Each file is a feed of its own: a decoder per file, so that the books of one do not continue in
// the next. In the summary, frames = frames with events + ignored + rejected, where a frame is one
// message (a snapshot that was recorded apart from its stream counts with the frame it belongs to).

import { Command } from 'commander'
import { SystemClock } from '../clock.ts'
import { type Decoder, DecodeTally, EVENT_NAMES } from '../decode/decoder.ts'
import { createDecoder } from '../decode/formats.ts'
import { VENUES, type Venue, venueNamed } from '../decode/venues.ts'
import { TickdError } from '../errors.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { BATCH_TICKS_MAX, INSTRUMENTS_MAX } from '../limits.ts'
import type { FrameMeta } from '../ring/frame-ring.ts'
import {
  CAPTURE_FORMATS,
  type CaptureFormat,
  type CaptureFrame,
  type CaptureReader,
} from '../source/capture/capture.ts'
import { openCapture } from '../source/capture/open.ts'
import { TickBatch } from '../tick/batch.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { tickToJson } from '../tick/json.ts'
import { KIND_COUNT, KIND_NAMES } from '../tick/layout.ts'
import { LineOutput } from './line-output.ts'
import { Progress } from './progress.ts'

interface DecodeOptions {
  venue: string
  format: string
  summary?: true
}

export function decodeCommand(): Command {
  const venues = VENUES.map((venue) => venue.name).join(', ')
  return new Command('decode')
    .description('Decode captures into normalised records, one JSON object a line.')
    .argument('<file...>', 'capture files; .zst and .gz are unpacked')
    .requiredOption('--venue <venue>', `whose frames they are: ${venues}`)
    .requiredOption('--format <format>', `capture format: ${CAPTURE_FORMATS.join(', ')}`)
    .option('--summary', 'print one JSON object with counts instead of the records')
    .option('--json', 'accepted for uniformity: both outputs are JSON')
    .action(async (files: string[], options: DecodeOptions) => {
      const venue = venueNamed(options.venue)
      const run = new DecodeRun(venue, captureFormat(options.format), options.summary !== true)
      for (const file of files) await run.file(file)
      if (options.summary === true) process.stdout.write(`${JSON.stringify(run.summary())}\n`)
    })
}

function captureFormat(name: string): CaptureFormat {
  const format = CAPTURE_FORMATS.find((known) => known === name)
  if (format !== undefined) return format
  const names = CAPTURE_FORMATS.join(', ')
  throw new TickdError('USAGE', `no capture format '${name}'; known formats: ${names}`)
}

/** The counts of `--summary`; the names of its members are fixed by the design. */
export interface DecodeSummary {
  frames: number
  events: Record<string, number>
  records: Record<string, number>
  ignored: Record<string, number>
  rejected: Record<string, number>
  gaps: number
}

class DecodeRun {
  readonly #venue: Venue
  readonly #format: CaptureFormat
  readonly #output: LineOutput | undefined
  readonly #instruments = new InstrumentTable(
    InstrumentTable.create(INSTRUMENTS_MAX),
    INSTRUMENTS_MAX,
  )
  readonly #batch = new TickBatch(BATCH_TICKS_MAX)
  readonly #tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, BATCH_TICKS_MAX)
  readonly #records = new Float64Array(KIND_COUNT)
  readonly #clock = new SystemClock()
  readonly #progress = new Progress()
  readonly #meta: FrameMeta = { source: 0, format: 0, flags: 0, token: 0, recvSec: 0, recvNsec: 0 }
  #frames = 0
  #oversize = 0
  #unusedSnapshots = 0

  constructor(venue: Venue, format: CaptureFormat, printsRecords: boolean) {
    this.#venue = venue
    this.#format = format
    this.#meta.format = venue.format
    this.#output = printsRecords ? new LineOutput() : undefined
  }

  async file(path: string): Promise<void> {
    if (this.#isReaderGone()) return
    const { name, format, http } = this.#venue
    const decoder = createDecoder(format, { venue: name, instruments: this.#instruments })
    const reader = await openCapture(path, { format: this.#format, http })
    try {
      do {
        await this.#decodeAll(reader, decoder)
        this.#progress.show(() => this.#progressText(reader))
      } while (!this.#isReaderGone() && (await reader.fill()))
    } finally {
      this.#progress.end()
      this.#frames += reader.counts.frames
      this.#oversize += reader.counts.oversize
      this.#unusedSnapshots += reader.counts.unused
      await this.#output?.flush()
      await reader.close()
    }
  }

  summary(): DecodeSummary {
    const { events, ignored, rejected, gaps } = this.#tally
    const ignoredCounts = named(IGNORE_REASONS, ignored)
    const rejectedCounts = named(REJECT_REASONS, rejected)
    // What the capture reader left out was a frame, too.
    addCount(ignoredCounts, 'unused_snapshot', this.#unusedSnapshots)
    addCount(rejectedCounts, 'oversize', this.#oversize)
    return {
      frames: this.#frames + this.#oversize + this.#unusedSnapshots,
      events: Object.fromEntries(EVENT_NAMES.map((name, i) => [name, events[i] ?? 0])),
      records: Object.fromEntries(
        KIND_NAMES.flatMap((name, kind) =>
          name === undefined ? [] : [[name, this.#records[kind] ?? 0]],
        ),
      ),
      ignored: ignoredCounts,
      rejected: rejectedCounts,
      gaps,
    }
  }

  /** Nobody reads the output any more: `| head`. */
  #isReaderGone(): boolean {
    return this.#output?.isClosed ?? false
  }

  /** Everything that the reader has in memory. */
  async #decodeAll(reader: CaptureReader, decoder: Decoder): Promise<void> {
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      this.#decode(frame, decoder)
      if (!this.#print()) continue
      await this.#output?.flush()
      if (this.#isReaderGone()) return
    }
  }

  #decode(frame: CaptureFrame, decoder: Decoder): void {
    const meta = this.#meta
    if (frame.timed) {
      meta.recvSec = frame.tsSec
      meta.recvNsec = frame.tsNsec
    } else {
      // The format records no times: what is read now is received now.
      this.#clock.read()
      meta.recvSec = this.#clock.sec
      meta.recvNsec = this.#clock.nsec
    }
    this.#batch.count = 0
    decoder.decode(frame.bytes, frame.start, frame.end, meta, this.#batch, this.#tally)
  }

  /** Counts the records at hand, and prints them; true = time to flush. */
  #print(): boolean {
    const batch = this.#batch
    let isFull = false
    for (let index = 0; index < batch.count; index++) {
      const kind = batch.kind(index)
      this.#records[kind] = (this.#records[kind] ?? 0) + 1
      if (this.#output?.add(tickToJson(batch, index, this.#instruments)) === true) isFull = true
    }
    return isFull
  }

  #progressText({ path, bytesRead, size }: CaptureReader): string {
    const percent = size === 0 ? 100 : Math.floor((100 * bytesRead) / size)
    return `${path}: ${percent} %, ${this.#tally.messages} messages`
  }
}

/** Those counts that are not zero, by name. */
function named(names: readonly string[], counts: Float64Array): Record<string, number> {
  return Object.fromEntries(
    names.flatMap((name, i) => (counts[i] === 0 ? [] : [[name, counts[i] ?? 0]])),
  )
}

function addCount(counts: Record<string, number>, name: string, count: number): void {
  if (count > 0) counts[name] = (counts[name] ?? 0) + count
}
