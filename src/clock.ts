// Time, injected everywhere: agents never call Date.now or setTimeout themselves.
//
// Wall time is UTC as two doubles, whole seconds and nanoseconds within the second: an i64 of
// nanoseconds does not fit a double, and BigInt has no place on the hot path. Monotonic time is
// fractional milliseconds since an arbitrary start; every time-out and interval is measured on it.

export interface Clock {
  /** Whole seconds since 1970-01-01T00:00:00Z at the last `read()`. */
  sec: number
  /** Nanoseconds within that second, 0 … 999,999,999. */
  nsec: number
  /** Reads the wall clock into `sec` and `nsec`. */
  read(): void
  /** Milliseconds, fractional, never backward. */
  monoMs(): number
}

/** Wall time may drift this far from the system's before the base is taken anew. */
const STEP_MS_MAX = 2

/** The machine's clock, with sub-microsecond reads (the system call gives only milliseconds). */
export class SystemClock implements Clock {
  sec = 0
  nsec = 0
  /** Epoch milliseconds at monotonic zero. */
  #baseMs = performance.timeOrigin

  read(): void {
    let ms = this.#baseMs + performance.now()
    const systemMs = Date.now()
    // performance.now() does not see NTP steps; Date.now() does, in whole milliseconds.
    if (ms < systemMs - STEP_MS_MAX || ms > systemMs + 1 + STEP_MS_MAX) {
      this.#baseMs += systemMs - ms
      ms = systemMs
    }
    const sec = Math.floor(ms / 1000)
    this.sec = sec
    this.nsec = Math.floor((ms - sec * 1000) * 1e6)
  }

  monoMs(): number {
    return performance.now()
  }
}

/** A clock that moves only when told to: for tests and simulation. */
export class SimulatedClock implements Clock {
  sec: number
  nsec = 0
  #monoMs = 0
  #wallMs: number

  constructor(startMs = 1_700_000_000_000) {
    this.#wallMs = startMs
    this.sec = Math.floor(startMs / 1000)
    this.read()
  }

  read(): void {
    this.sec = Math.floor(this.#wallMs / 1000)
    this.nsec = Math.round((this.#wallMs - this.sec * 1000) * 1e6)
    if (this.nsec >= 1e9) {
      this.sec += 1
      this.nsec -= 1e9
    }
  }

  monoMs(): number {
    return this.#monoMs
  }

  /** Moves both clocks forward. */
  advance(ms: number): void {
    this.#monoMs += ms
    this.#wallMs += ms
    this.read()
  }

  /** Steps the wall clock only, either way, as NTP or an operator does. */
  stepWall(ms: number): void {
    this.#wallMs += ms
    this.read()
  }
}
