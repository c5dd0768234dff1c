// Daily partitions: made before the first row of their day, and some days ahead.
//
// One kind and day is one partition. What gets none: days outside the plausible window (a record of
// 1970 or 2262), and every new day once the store has PARTITIONS_MAX: those rows go to the default
// partition, where they are found all the same, only slower.

import type { Client } from 'pg'
import { PARTITIONS_MAX } from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { KIND_COUNT, KIND_NAMES } from '../../tick/layout.ts'
import type { BatchPlan } from './batch-plan.ts'
import { TABLES } from './tables.ts'

export const DAY_S = 86_400
/** 2000-01-01: nothing that is stored here is older. */
export const FIRST_DAY = 10_957
/** A needed partition may wait so long for a lock before the attempt counts as failed. */
const LOCK_MS = 10_000
/** One made ahead must not hold anybody up. */
const LOCK_AHEAD_MS = 200

export class Partitions {
  readonly #client: Client
  readonly #schema: string
  readonly #log: Log
  /**
   * day x KIND_COUNT + kind -> is it attached? No = its rows belong to the default partition. As
   * bounded as the plausible days are.
   */
  readonly #known = new Map<number, boolean>()
  /** Kinds that were stored on this connection: only these get partitions ahead. */
  readonly #kinds = new Set<number>()
  #count = 0
  #saidFull = false

  constructor(client: Client, schema: string, log: Log) {
    this.#client = client
    this.#schema = schema
    this.#log = log
  }

  /** Counts what is there. */
  async load(): Promise<void> {
    const { rows } = await this.#client.query(
      `SELECT count(*)::int4 AS n FROM pg_inherits WHERE inhparent = ANY($1::regclass[])`,
      [TABLES.map((kind) => `${this.#schema}.${kind}`)],
    )
    this.#count = Number(rows[0]?.n)
  }

  /** Makes the partitions that the plan needs. Returns how many were made. */
  async ensure(plan: BatchPlan): Promise<number> {
    let created = 0
    for (let i = 0; i < plan.partitionCount; i++) {
      const kind = plan.partitionKinds[i] as number
      this.#kinds.add(kind)
      created += await this.#ensureOne(kind, plan.partitionDays[i] as number, LOCK_MS)
    }
    return created
  }

  /** The table that holds the kind's rows of this day and of no other; the parent where unsure. */
  tableOf(kind: number, day: number): string {
    const parent = `${this.#schema}.${KIND_NAMES[kind]}`
    if (this.#known.get(day * KIND_COUNT + kind) !== true) return parent
    const date = new Date(day * DAY_S * 1000).toISOString().slice(0, 10)
    return `${parent}_${date.replaceAll('-', '')}`
  }

  /** Makes the partitions of days [today, today + daysAhead]; a lock that is held is for later. */
  async ensureAhead(today: number, daysAhead: number): Promise<number> {
    let created = 0
    for (const kind of this.#kinds) {
      for (let day = today; day <= today + daysAhead; day++) {
        created += await this.#ensureOne(kind, day, LOCK_AHEAD_MS).catch((thrown) => {
          if ((thrown as { code?: string }).code !== '55P03') throw thrown
          return 0
        })
      }
    }
    return created
  }

  async #ensureOne(kind: number, day: number, lockMs: number): Promise<number> {
    const key = day * KIND_COUNT + kind
    if (this.#known.has(key)) return 0
    if (this.#count >= PARTITIONS_MAX) {
      this.#sayFull()
      return 0
    }
    const { rows } = await this.#client.query(
      `SELECT ${this.#schema}.add_partition($1, date '1970-01-01' + $2::int4, $3) AS outcome`,
      [KIND_NAMES[kind], day, lockMs],
    )
    const outcome = rows[0]?.outcome
    this.#known.set(key, outcome !== 'default')
    if (outcome !== 'created') return 0
    this.#count++
    return 1
  }

  #sayFull(): void {
    if (this.#saidFull) return
    this.#saidFull = true
    this.#log.warn(
      { partitions: this.#count },
      'no more partitions are made: rows of new days go to the default partitions; drop old ones',
    )
  }
}
