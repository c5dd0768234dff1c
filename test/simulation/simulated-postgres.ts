// A PostgreSQL in memory, as far as the store can see: sessions, transactions, locks, lost answers.
//
// `connect` stands in for that of storage/postgres/connection.ts. Nothing happens before `turn`: it
// takes what was sent, runs a statement or two of each session, and hands answers over, or keeps
// them for the next turn. Between two turns anything can be cut. A text of several statements runs
// as the server runs it: outside of BEGIN … COMMIT each is a transaction of its own.

import type { Client } from 'pg'
import type { Clock } from '../../src/clock.ts'
import { TickdError } from '../../src/errors.ts'
import type { Random } from '../../src/source/random.ts'
import type { Connection, ConnectOptions } from '../../src/storage/postgres/connection.ts'
import { type Request, Session } from './sql-session.ts'
import { SqlHistory, type StoredRow } from './sql-state.ts'

interface Opening {
  readonly options: ConnectOptions
  readonly deadlineMs: number
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: Error) => void
}

export class SimulatedPostgres {
  readonly history = new SqlHistory()
  /** Refuses connections while false. */
  isUp = true
  /** Takes what is sent and answers nothing while true. */
  isHung = false
  /** Answers that were never heard, of transactions that were committed. */
  lostAnswers = 0
  readonly #clock: Clock
  readonly #random: Random
  readonly #openings: Opening[] = []
  readonly #sessions = new Set<Session>()
  /** Holders of advisory locks. */
  readonly #locks = new Map<string, Session>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  get rows(): readonly StoredRow[] {
    return this.history.rows
  }

  /** Next sequence to store, as committed. */
  position(shard: number): number {
    return this.history.meta.positions.get(shard)?.seq ?? 0
  }

  /** A transaction with rows is under way. */
  get isStoring(): boolean {
    return [...this.#sessions].some((session) => session.isStoring)
  }

  readonly connect = (options: ConnectOptions): Promise<Connection> =>
    new Promise((resolve, reject) => {
      const deadlineMs = this.#clock.monoMs() + options.timeoutMs
      this.#openings.push({ options, deadlineMs, resolve, reject })
    })

  /** A little of everything that is under way. Returns how much was done. */
  turn(): number {
    let work = this.#open()
    if (this.isHung) return work
    for (const session of [...this.#sessions]) {
      work += session.turn(1 + this.#random.below(4))
      if (session.isOver) this.#end(session)
    }
    return work
  }

  /** The server is gone: what was not committed is undone, clients hear a broken connection. */
  stop(): void {
    this.isUp = false
    this.cutAll()
  }

  /** Every connection breaks; some backends finish what they were given before they notice. */
  cutAll(): void {
    for (const session of [...this.#sessions]) this.#cut(session)
  }

  /** As `cutAll`, by a client that is no more: nobody hears anything. */
  abandonAll(): void {
    this.#openings.length = 0
    for (const session of [...this.#sessions]) {
      session.abandon()
      this.#cut(session)
    }
  }

  /** Puts the database back by so many commits, as a backup or an asynchronous commit does. */
  restore(commits: number): void {
    this.cutAll()
    this.history.restore(this.history.commitCount - commits)
  }

  #cut(session: Session): void {
    const committed = this.history.commitCount
    if (!this.isHung && this.#random.below(2) === 0) session.finish()
    if (this.history.commitCount > committed) this.lostAnswers++
    session.breakOff()
    this.#end(session)
  }

  #end(session: Session): void {
    this.#sessions.delete(session)
    for (const [name, holder] of this.#locks) if (holder === session) this.#locks.delete(name)
  }

  #open(): number {
    const openings = this.#openings.splice(0)
    let work = 0
    for (const opening of openings) {
      if (this.isUp && this.isHung && this.#clock.monoMs() < opening.deadlineMs) {
        this.#openings.push(opening)
        continue
      }
      work++
      const { options, resolve, reject } = opening
      if (!this.isUp) reject(unreachable('refused'))
      else if (this.isHung) reject(unreachable('timed out'))
      else resolve(this.#connection(options))
    }
    return work
  }

  #connection(options: ConnectOptions): Connection {
    const session = new Session({
      history: this.history,
      clock: this.#clock,
      onLost: options.onLost,
      lock: (name, owner) => this.#lock(name, owner),
    })
    this.#sessions.add(session)
    const client = {
      query: (request: Request, values?: unknown[]) => session.query(request, values),
    }
    return {
      // The store calls nothing but `query`: its statements are in sql-statements.ts.
      client: client as unknown as Client,
      close: () => session.close(),
      destroy: () => session.close(),
    }
  }

  #lock(name: string, owner: Session): boolean {
    const holder = this.#locks.get(name)
    if (holder !== undefined && holder !== owner) return false
    this.#locks.set(name, owner)
    return true
  }
}

export function broken(code: string): Error {
  return Object.assign(new Error(`simulated ${code}`), { code })
}

function unreachable(how: string): TickdError {
  return new TickdError('POSTGRES_UNREACHABLE', `simulated: ${how}`, { canRetry: true })
}
