// The disk of a fault run: a file system in memory of its own, so that it can be full without
// harm to anybody; an ordinary directory where mounting is not permitted, which is never full.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'

const SIZE_MIB = 1024

export class FaultDisk {
  readonly directory: string
  readonly isMounted: boolean
  /** Monotonic time; Infinity = it is full now. */
  #freedMs = Number.NEGATIVE_INFINITY

  /** `isOrdinary`: a directory like any other, for what memory does not hold. */
  constructor(directory: string, isOrdinary = false) {
    this.directory = directory
    mkdirSync(directory, { recursive: true })
    if (isOrdinary) {
      this.isMounted = false
      return
    }
    const args = ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m,mode=0755`, 'tmpfs', directory]
    this.isMounted = spawnSync('mount', args, { stdio: 'ignore' }).status === 0
  }

  /** Takes all room but `leftBytes`; as `free` gives it back. */
  fill(leftBytes: number): void {
    this.#freedMs = Number.POSITIVE_INFINITY
    const { bavail, bsize } = statfsSync(this.directory)
    const bytes = Math.max(1, bavail * bsize - leftBytes)
    // It takes the room without writing it. What it cannot have, the daemon has just taken.
    spawnSync('fallocate', ['--length', String(bytes), this.#filler], { stdio: 'ignore' })
  }

  free(): void {
    rmSync(this.#filler, { force: true })
    this.#freedMs = performance.now()
  }

  /** Monotonic time. */
  wasFullSince(sinceMs: number): boolean {
    return this.#freedMs > sinceMs
  }

  get #filler(): string {
    return join(this.directory, 'filler')
  }

  /** Copies what is on it to a directory beside it. */
  keep(): void {
    cpSync(this.directory, `${this.directory}-kept`, { recursive: true })
  }

  /** Gives the file system up, and what is on it. */
  remove(): void {
    if (this.isMounted) spawnSync('umount', [this.directory], { stdio: 'ignore' })
    rmSync(this.directory, { recursive: true, force: true })
  }
}
