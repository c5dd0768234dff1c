// What the journal may take of the disk: a most of its own, and a least that it leaves free.
//
// Not retention, which removes what is stored and old. This says stop where retention can remove
// nothing more: when the stores are behind, the journal grows up to the bound, and then ingest is
// held back. Push sources wait (TCP, HTTP); what venues send meanwhile is lost, and declared.

import { TickdError } from '../errors.ts'
import type { Disk } from './disk.ts'

/** Between looks at the file system: at 64 MB/s, less than 16 MB come in meanwhile. */
const LOOK_EVERY_MS = 250

export interface DiskBudgetOptions {
  disk: Disk
  directory: string
  /** Most bytes of segments. */
  bytesMax: number
  /** Least bytes that stay free on the file system; 0 = it is not looked at. */
  freeBytesMin: number
}

export class DiskBudget {
  /** Free bytes when last looked at; infinite before, or where the system does not say. */
  freeBytes = Number.POSITIVE_INFINITY
  readonly #options: DiskBudgetOptions
  #lookDueMs = Number.NEGATIVE_INFINITY

  constructor(options: DiskBudgetOptions) {
    this.#options = options
  }

  /** True when the file system has less room than is to stay free. */
  isShort(nowMs: number): boolean {
    const { freeBytesMin } = this.#options
    if (freeBytesMin === 0) return false
    if (nowMs >= this.#lookDueMs) this.#look(nowMs)
    return this.freeBytes < freeBytesMin
  }

  /** Why nothing must be added to `usedBytes` of segments now; undefined when it may. */
  refusal(usedBytes: number, nowMs: number): TickdError | undefined {
    const { bytesMax, freeBytesMin, directory } = this.#options
    if (usedBytes >= bytesMax) {
      return full(
        `${directory} has ${usedBytes} bytes that no store has read yet, and journal.bytes_max ` +
          `is ${bytesMax}: bring the store back, or raise it`,
      )
    }
    if (!this.isShort(nowMs)) return undefined
    return full(
      `the file system of ${directory} has ${this.freeBytes} bytes left, and ` +
        `journal.free_bytes_min is ${freeBytesMin}: make room, or lower it`,
    )
  }

  #look(nowMs: number): void {
    const { disk, directory } = this.#options
    this.#lookDueMs = nowMs + LOOK_EVERY_MS
    try {
      this.freeBytes = disk.freeBytes(directory)
    } catch {
      // Not every file system says; one that is full refuses the write itself.
      this.freeBytes = Number.POSITIVE_INFINITY
    }
  }
}

function full(message: string): TickdError {
  return new TickdError('JOURNAL_FULL', message, { canRetry: true })
}
