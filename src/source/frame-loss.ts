// What a source that cannot be held back has lost because the frame ring was full: an exact record
// of each time, persisted as an incident. The counters (`frames_dropped`) say how much in all; this
// says how many frames, of how many bytes, received from when to when.
//
// A loss ends when nothing was lost for QUIET_MS; a long one is told in parts, so that a crash
// loses the word of PART_MS at most. Receipt times are those of the frames that were given up.

import type { Clock } from '../clock.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import { formatTime } from '../tick/time.ts'

const QUIET_MS = 1000
const PART_MS = 60_000

export interface FrameLossOptions {
  source: string
  clock: Clock
  raise: (report: IncidentReport) => void
}

export class FrameLoss {
  readonly #options: FrameLossOptions
  #frames = 0
  #bytes = 0
  #beganMs = 0
  #lastMs = 0
  #from = ''
  #to = ''

  constructor(options: FrameLossOptions) {
    this.#options = options
  }

  /** A frame of so many bytes was given up now. */
  note(sizeBytes: number): void {
    const { clock } = this.#options
    const nowMs = clock.monoMs()
    clock.read()
    this.#to = formatTime(clock.sec, clock.nsec)
    if (this.#frames === 0) {
      this.#beganMs = nowMs
      this.#from = this.#to
    }
    this.#frames++
    this.#bytes += sizeBytes
    this.#lastMs = nowMs
  }

  /** Tells of a loss that is over, or has lasted. Called every duty cycle; cheap when quiet. */
  tick(nowMs: number): void {
    if (this.#frames === 0) return
    if (nowMs - this.#lastMs >= QUIET_MS || nowMs - this.#beganMs >= PART_MS) this.end()
  }

  /** Tells of what was lost so far. */
  end(): void {
    if (this.#frames === 0) return
    const { source, raise } = this.#options
    const frames = this.#frames
    const [bytes, from, to] = [this.#bytes, this.#from, this.#to]
    this.#frames = 0
    this.#bytes = 0
    raise({
      kind: 'frames_lost',
      severity: 'critical',
      // With its times: no two losses are repeats of one another.
      summary: `${source}: ${frames} frames were lost from ${from} to ${to}`,
      evidence: { source, frames, bytes, from, to },
    })
  }
}
