// Which commits a crash of the database server can no longer undo.
//
// With synchronous_commit off, a commit is answered before its WAL is on the server's disk; a crash
// of the server (or its machine) undoes it, and its records must then still be in the journal. So
// segments go only once the WAL that was written when they had been committed is flushed: the
// server's WAL writer sees to that within a second.

import type { Client } from 'pg'

/** Between questions while there is something to learn. */
export const FLUSH_ASK_MS = 1000

export class FlushWatch {
  /** Records below it are stored for good. */
  seq = 0
  /** Committed below `seq` when the WAL ended at `lsn`; undefined = nothing is waited for. */
  #waiting: { seq: number; lsn: bigint } | undefined
  #askedMs = Number.NEGATIVE_INFINITY

  /** True when it is worth asking, of records committed below `committedSeq`. */
  isDue(committedSeq: number, nowMs: number): boolean {
    return this.seq < committedSeq && nowMs - this.#askedMs >= FLUSH_ASK_MS
  }

  /** Asks the server. `committedSeq`: as committed before the call. */
  async ask(client: Client, committedSeq: number, nowMs: number): Promise<void> {
    this.#askedMs = nowMs
    const { rows } = await client.query(
      `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS inserted,
         pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS flushed`,
    )
    const flushed = BigInt(rows[0]?.flushed)
    if (this.#waiting !== undefined && flushed >= this.#waiting.lsn) {
      this.seq = Math.max(this.seq, this.#waiting.seq)
      this.#waiting = undefined
    }
    // The WAL's end now is behind the commit of everything that is committed by now.
    this.#waiting ??= { seq: committedSeq, lsn: BigInt(rows[0]?.inserted) }
    if (flushed >= this.#waiting.lsn) this.seq = Math.max(this.seq, this.#waiting.seq)
  }
}
