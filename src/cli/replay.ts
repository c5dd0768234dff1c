// tickd replay FILE…: recorded frames into a running daemon, over its push interfaces.
//
// The frames are decoded here, by the shipped decoders, and sent as normalised records: what
// arrives is what `tickd decode` prints, marked as replayed. Books and ids are the capture's own,
// so each file has a decoder of its own, as in `decode`.

import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { type Decoder, DecodeTally } from '../decode/decoder.ts'
import { createDecoder } from '../decode/formats.ts'
import { VENUES, type Venue, venueNamed } from '../decode/venues.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'
import { BATCH_TICKS_MAX, INSTRUMENTS_MAX } from '../limits.ts'
import { FRAME_FLAG, type FrameMeta } from '../ring/frame-ring.ts'
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
import { LinePiece } from './line-piece.ts'
import { Progress } from './progress.ts'
import { openTarget, type PushTarget } from './push-target.ts'

const DEFAULT_TARGET = 'http://127.0.0.1:8080'
/** A frame that is due within so long goes now: timers are no finer. */
const PACE_GRAIN_MS = 2
const EXIT_REJECTED = 1

interface ReplayOptions {
  venue: string
  format: CaptureFormat
  speed: 'max' | number
  to: string
  json?: true
}

export function replayCommand(): Command {
  const venues = VENUES.map((venue) => venue.name).join(', ')
  return new Command('replay')
    .description('Send captures into a running daemon, as normalised records marked as replayed.')
    .argument('<file...>', 'capture files, in order; .zst and .gz are unpacked')
    .requiredOption('--venue <venue>', `whose frames they are: ${venues}`)
    .requiredOption('--format <format>', `capture format: ${CAPTURE_FORMATS.join(', ')}`, formatOf)
    .option('--speed <speed>', 'max, or a multiple of the recorded pace', speedOf, 'max')
    .option('--to <url>', 'http://host:port, tcp://host:port, or -', DEFAULT_TARGET)
    .option('--json', 'print the totals as one JSON object')
    .addHelpText('after', '\nExit code 0 = all was taken, 1 = not, or some records were rejected.')
    .action(async (files: string[], options: ReplayOptions) => {
      const venue = venueNamed(options.venue)
      const run = new ReplayRun(venue, options, await openTarget(options.to))
      process.exitCode = await run.files(files)
    })
}

function formatOf(name: string): CaptureFormat {
  const format = CAPTURE_FORMATS.find((known) => known === name)
  if (format !== undefined) return format
  throw new InvalidArgumentError(`must be one of ${CAPTURE_FORMATS.join(', ')}`)
}

function speedOf(text: string): 'max' | number {
  if (text === 'max') return 'max'
  const speed = Number(text)
  if (Number.isFinite(speed) && speed > 0) return speed
  throw new InvalidArgumentError('must be max, or a number above 0')
}

class ReplayRun {
  readonly #venue: Venue
  readonly #options: ReplayOptions
  readonly #target: PushTarget
  readonly #piece: LinePiece
  readonly #instruments = new InstrumentTable(
    InstrumentTable.create(INSTRUMENTS_MAX),
    INSTRUMENTS_MAX,
  )
  readonly #batch = new TickBatch(BATCH_TICKS_MAX)
  readonly #tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, BATCH_TICKS_MAX)
  readonly #progress = new Progress()
  readonly #meta: FrameMeta
  readonly #beganMs = performance.now()
  #frames = 0
  /** Recorded time of the first frame, and when it was sent; for the pace. */
  #firstRecordedMs: number | undefined
  #firstSentMs = 0

  constructor(venue: Venue, options: ReplayOptions, target: PushTarget) {
    this.#venue = venue
    this.#options = options
    this.#target = target
    this.#piece = new LinePiece(target)
    const { format } = venue
    this.#meta = {
      source: 0,
      format,
      flags: FRAME_FLAG.REPLAYED,
      token: 0,
      recvSec: 0,
      recvNsec: 0,
    }
  }

  /** Sends all files, prints the totals, and returns the exit code. */
  async files(paths: readonly string[]): Promise<number> {
    try {
      for (const path of paths) if (!this.#target.isClosed) await this.#file(path)
      await this.#piece.send()
      await this.#target.end()
    } finally {
      this.#progress.end()
    }
    this.#printTotals()
    return (this.#target.totals.answers?.rejected ?? 0) > 0 ? EXIT_REJECTED : 0
  }

  async #file(path: string): Promise<void> {
    const { name, format, http } = this.#venue
    const decoder = createDecoder(format, { venue: name, instruments: this.#instruments })
    const reader = await openCapture(path, { format: this.#options.format, http })
    try {
      do {
        for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
          await this.#frame(frame, decoder)
          if (this.#target.isClosed) return
        }
        this.#progress.show(() => this.#progressText(reader))
      } while (await reader.fill())
    } finally {
      this.#frames += reader.counts.frames
      await reader.close()
    }
  }

  async #frame(frame: CaptureFrame, decoder: Decoder): Promise<void> {
    if (this.#options.speed !== 'max' && frame.timed) await this.#pace(frame, this.#options.speed)
    const meta = this.#meta
    const wallMs = Date.now()
    meta.recvSec = frame.timed ? frame.tsSec : Math.floor(wallMs / 1000)
    meta.recvNsec = frame.timed ? frame.tsNsec : (wallMs % 1000) * 1e6
    const batch = this.#batch
    batch.count = 0
    decoder.decode(frame.bytes, frame.start, frame.end, meta, batch, this.#tally)
    for (let index = 0; index < batch.count; index++) {
      const isFull = this.#piece.add(tickToJson(batch, index, this.#instruments))
      if (isFull) await this.#piece.send()
    }
  }

  /** Waits until the frame is due; what came before it is on its way by then. */
  async #pace({ tsSec, tsNsec }: CaptureFrame, speed: number): Promise<void> {
    const recordedMs = tsSec * 1000 + tsNsec / 1e6
    if (this.#firstRecordedMs === undefined) {
      this.#firstRecordedMs = recordedMs
      this.#firstSentMs = performance.now()
    }
    const dueMs = this.#firstSentMs + (recordedMs - this.#firstRecordedMs) / speed
    if (dueMs - performance.now() < PACE_GRAIN_MS) return
    await this.#piece.send()
    await sleep(Math.max(0, dueMs - performance.now()))
  }

  #progressText({ path, bytesRead, size }: CaptureReader): string {
    const percent = size === 0 ? 100 : Math.floor((100 * bytesRead) / size)
    return `${path}: ${percent} %, ${this.#target.totals.lines} records`
  }

  #printTotals(): void {
    const seconds = (performance.now() - this.#beganMs) / 1000
    const { lines, bytes, answers } = this.#target.totals
    const { messages, decoded, ignored, rejected } = this.#tally
    const undecoded = rejected.reduce((sum, count) => sum + count, 0)
    const totals = {
      frames: this.#frames,
      messages,
      decoded,
      ignored: ignored.reduce((sum, count) => sum + count, 0),
      undecoded,
      records: lines,
      bytes,
      ...answers,
      seconds: Math.round(seconds * 1000) / 1000,
      records_per_second: Math.round(lines / Math.max(seconds, 1e-3)),
    }
    if (this.#options.to === '-') return
    process.stdout.write(this.#options.json ? `${JSON.stringify(totals)}\n` : totalsText(totals))
    if ((answers?.rejected ?? 0) > 0) {
      process.stderr.write('tickd: records were rejected; the dead letters of the daemon say why\n')
    }
  }
}

/** 'records  12345' a line. */
export function totalsText(totals: Readonly<Record<string, number>>): string {
  return Object.entries(totals)
    .map(([name, value]) => `${name.replaceAll('_', ' ').padEnd(20)}${value}\n`)
    .join('')
}
