// What a connection, or one subscription, has seen. Plain counters, to be read at any time.

export interface Stats {
  frames: number
  bytes: number
  records: number
  /** Sequences that the server, or this client, declared as missed. */
  missed: number
  /** Of them, those that were filled afterwards. */
  filled: number
  /** Holes that nobody declared: a fault of the server or of the way. */
  undeclared: number
  /** Records that came twice and were dropped. */
  duplicates: number
  reconnects: number
  /** Milliseconds from the daemon's receipt of the newest record to its arrival here. */
  latencyMs: number
}

export function newStats(): Stats {
  return {
    frames: 0,
    bytes: 0,
    records: 0,
    missed: 0,
    filled: 0,
    undeclared: 0,
    duplicates: 0,
    reconnects: 0,
    latencyMs: Number.NaN,
  }
}
