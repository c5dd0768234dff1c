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
  /** Received, and taken back by a crash of the daemon before they were durable. */
  voided: number
  /** Replays whose bytes were not those that the server sent. */
  corrupt: number
  /** Times the server said that this connection reads slowly. */
  slow: number
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
    voided: 0,
    corrupt: 0,
    slow: 0,
    duplicates: 0,
    reconnects: 0,
    latencyMs: Number.NaN,
  }
}
