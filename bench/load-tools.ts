// The native part of the loads (native/bench/load_tools.h): what cannot wait takes less time.
//
// Where it is not built Node's own sockets and timers do, and are in the way of whom they measure:
// reports say which it was.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const PATH = resolve(import.meta.dirname, '../build/Release/tickd_load.node')

export interface LoadTools {
  /** The calling thread gets the processors before all others; 0, or the system's error number. */
  comeFirst(): number
  /** Blocks until that time of process.hrtime, in nanoseconds; it spins for the last `spinNs`. */
  sleepUntil(dueNs: number, spinNs: number): void
  /**
   * Writes bytes[start, end), waiting where the socket is full, for 100 ms at most. How many it
   * took; below 0: the system's error number, negated.
   */
  sendSome(descriptor: number, bytes: Uint8Array, start: number, end: number): number
  /** Blocks, reading sockets into a ring: see socket-pump.ts. */
  readSockets(descriptors: Int32Array, ring: Uint8Array, words: Int32Array): void
}

/** Undefined where they are not built. */
export function loadTools(): LoadTools | undefined {
  return existsSync(PATH) ? (createRequire(import.meta.url)(PATH) as LoadTools) : undefined
}
