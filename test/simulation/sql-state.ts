// What the simulated PostgreSQL holds: committed transactions, one after the other, and drafts.
//
// It keeps its history, so that it can be put back to any earlier commit, as a restored backup is,
// or as a crash leaves a server that does not wait for its own disk.

/** A stored tick, as far as the checks look at it. */
export interface StoredRow {
  readonly shard: number
  readonly seq: number
  readonly table: string
  readonly instrument: number
  readonly tradeId: number
  readonly price: number
}

/** Everything but the rows: small, and copied at each commit. */
export interface Meta {
  /** By shard: next sequence to store; epoch, journal and start of the last one stored. */
  readonly positions: Map<number, { seq: number; epoch: number; journal: string; start: string }>
  readonly instruments: Map<number, { venue: string; symbol: string }>
  readonly migrations: Map<number, string>
  /** Tables that exist, without their schema: 'trade', 'trade_20240101'. */
  readonly tables: Set<string>
}

export type Change = (meta: Meta) => void

function copyOf(meta: Meta): Meta {
  return {
    positions: new Map(meta.positions),
    instruments: new Map(meta.instruments),
    migrations: new Map(meta.migrations),
    tables: new Set(meta.tables),
  }
}

export class SqlHistory {
  readonly rows: StoredRow[] = []
  #commits: { meta: Meta; rowCount: number }[] = [
    {
      meta: {
        positions: new Map(),
        instruments: new Map(),
        migrations: new Map(),
        tables: new Set(),
      },
      rowCount: 0,
    },
  ]

  get commitCount(): number {
    return this.#commits.length
  }

  get meta(): Meta {
    return (this.#commits.at(-1) as { meta: Meta }).meta
  }

  commit(changes: readonly Change[], rows: readonly StoredRow[]): void {
    if (changes.length === 0 && rows.length === 0) return
    const meta = copyOf(this.meta)
    for (const change of changes) change(meta)
    this.rows.push(...rows)
    this.#commits.push({ meta, rowCount: this.rows.length })
  }

  /** Forgets all but the first `commitCount` commits. */
  restore(commitCount: number): void {
    this.#commits = this.#commits.slice(0, Math.max(1, commitCount))
    this.rows.length = (this.#commits.at(-1) as { rowCount: number }).rowCount
  }
}

/** A transaction under way: sees what was committed when it looks, and its own changes. */
export class Draft {
  readonly changes: Change[] = []
  readonly rows: StoredRow[] = []
  readonly #history: SqlHistory

  constructor(history: SqlHistory) {
    this.#history = history
  }

  get meta(): Meta {
    if (this.changes.length === 0) return this.#history.meta
    const meta = copyOf(this.#history.meta)
    for (const change of this.changes) change(meta)
    return meta
  }

  commit(): void {
    this.#history.commit(this.changes, this.rows)
  }
}
