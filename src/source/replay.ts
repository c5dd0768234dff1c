// Plays capture files once: the frames as they were received, with the receive times of then.
//
// Held back by the ring, never dropping. At speed `max` the ring is the only brake; else a frame
// goes when its recorded distance from the first one, divided by the speed, has passed. Captures
// are not sorted by time throughout: a frame whose time has passed goes at once.

import type { Clock } from '../clock.ts'
import { assert, errorText } from '../errors.ts'
import { KIB } from '../limits.ts'
import type { Log } from '../ops/log.ts'
import { FRAME_FLAG } from '../ring/frame-ring.ts'
import type { CaptureFormat, CaptureFrame, CaptureReader, HttpBodies } from './capture/capture.ts'
import { openCapture } from './capture/open.ts'
import type { FrameSink, Source } from './source.ts'

/** A paced frame is at most so late. */
const PACE_MS = 1

export interface ReplayConfig {
  name: string
  venue: string
  format: CaptureFormat
  paths: readonly string[]
  speed: 'max' | number
}

/** What playing a venue's frames needs to know of it. */
export interface ReplayVenue {
  /** FRAME_FORMAT of its frames. */
  readonly format: number
  /** What the HTTP answers in its captures are. */
  readonly http: HttpBodies
}

export interface ReplaySourceOptions {
  config: ReplayConfig
  venue: ReplayVenue
  sink: FrameSink
  clock: Clock
  log: Log
  /** Runs a duty cycle soon: more of a file is in memory. */
  wake: () => void
}

/** What one duty cycle passes on at most: the other sources of the thread want their turn. */
const CYCLE_BYTES_MAX = 512 * KIB

export class ReplaySource implements Source {
  readonly name: string
  /** Paced frames fall due at any time. */
  readonly idleMsMax = PACE_MS
  readonly #options: ReplaySourceOptions
  #reader: CaptureReader | undefined
  #pathIndex = 0
  /** Read, and not on the ring yet. */
  #frame: CaptureFrame | undefined
  #filling = false
  #finished = false
  readonly #pace: Pace
  #failure: unknown

  constructor(options: ReplaySourceOptions) {
    const { name, speed } = options.config
    this.name = name
    this.#options = options
    this.#pace = new Pace(speed)
  }

  /** Opens the first file: a wrong path is the operator's to mend before the daemon runs. */
  async start(): Promise<void> {
    await this.#openNext()
  }

  doWork(): number {
    if (this.#failure !== undefined) return this.#fail()
    if (this.#finished || this.#filling) return 0
    const nowMs = this.#options.clock.monoMs()
    let bytes = 0
    while (bytes < CYCLE_BYTES_MAX) {
      const frame = this.#next()
      if (frame === undefined) break
      if (this.#pace.dueMs(frame, nowMs) > nowMs || !this.#pass(frame)) break
      this.#frame = undefined
      bytes += frame.end - frame.start + 1
    }
    return bytes
  }

  stop(): void {
    this.#finished = true
  }

  drained(): boolean {
    // What was not played is in its file still.
    return true
  }

  async close(): Promise<void> {
    this.#finished = true
    await this.#reader?.close()
    this.#reader = undefined
  }

  /** The frame to pass on; undefined when it must be read first, or never comes. */
  #next(): CaptureFrame | undefined {
    try {
      this.#frame ??= this.#reader?.next()
    } catch (error) {
      this.#failure = error
      return undefined
    }
    if (this.#frame === undefined) void this.#more()
    return this.#frame
  }

  #pass({ bytes, start, end, timed, tsSec, tsNsec }: CaptureFrame): boolean {
    const { sink, venue } = this.#options
    if (timed) sink.stampAt(tsSec, tsNsec)
    else sink.stamp()
    if (sink.offer(venue.format, FRAME_FLAG.REPLAYED, 0, bytes, start, end)) return true
    sink.held()
    return false
  }

  async #more(): Promise<void> {
    this.#filling = true
    try {
      const reader = this.#reader
      assert(reader !== undefined, 'a source that plays has a file open')
      if (!(await reader.fill())) {
        const { counts, path } = reader
        this.#options.log.info({ source: this.name, path, ...counts }, 'capture played')
        await reader.close()
        await this.#openNext()
      }
    } catch (error) {
      this.#failure = error
    }
    this.#filling = false
    this.#options.wake()
  }

  async #openNext(): Promise<void> {
    const { venue, config } = this.#options
    const { paths, format } = config
    const path = paths[this.#pathIndex++]
    if (path === undefined || this.#finished) {
      this.#finished = true
      this.#reader = undefined
      return
    }
    this.#reader = await openCapture(path, { format, http: venue.http })
  }

  /** A file that is not what it should be ends this source; the others go on. */
  #fail(): number {
    const { log, sink } = this.#options
    log.error({ source: this.name, error: errorText(this.#failure) }, 'replay stopped')
    sink.counters.add('refusals')
    this.#failure = undefined
    this.#finished = true
    return 1
  }
}

/** When recorded frames are due, on the monotonic clock. */
class Pace {
  readonly #speed: 'max' | number
  /** Recorded time and clock at the first timed frame, milliseconds. */
  #firstMs: number | undefined
  #startMs = 0

  constructor(speed: 'max' | number) {
    this.#speed = speed
  }

  dueMs({ timed, tsSec, tsNsec }: CaptureFrame, nowMs: number): number {
    if (this.#speed === 'max' || !timed) return nowMs
    const recordedMs = tsSec * 1000 + tsNsec / 1e6
    if (this.#firstMs === undefined) {
      this.#firstMs = recordedMs
      this.#startMs = nowMs
    }
    return this.#startMs + (recordedMs - this.#firstMs) / this.#speed
  }
}
