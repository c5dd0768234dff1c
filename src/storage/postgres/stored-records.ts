// Records of a shard out of the database, in the order of their sequence, without a hole.
//
// There is no index on the sequence: it would cost every insert. A page is asked for as a range of
// sequences within a range of event times, which the index has. Event times go on about as
// sequences do: the next record is looked for near the time of the last one, further away when it
// is not there, and at last everywhere. What is found is proved: sequences are dense, so a page is
// what follows the last one without a hole, however it was found.
//
//   margin   2 s → 1 min → 1 h → 1 day → none       wider: nothing, or little, was found
//                                                   narrower: it took long
//
// A connection a reader, outside of transactions between pages; a page is MiBs at most, and the
// server is given a time for it. What reads never waits here: `read` returns 0 until a page is in.

import type { Socket } from 'node:net'
import type { Submittable, Connection as WireConnection } from 'pg'
import { errorText } from '../../errors.ts'
import {
  FEED_STORE_PAGE_MS_MAX,
  FEED_STORE_PAGE_TICKS,
  FEED_STORE_REPLAYS_MAX,
} from '../../limits.ts'
import { TickBatch } from '../../tick/batch.ts'
import { readSplit, type Split } from '../../tick/fixed-point.ts'
import { NULL_HI, TICK_WORDS, WORD } from '../../tick/layout.ts'
import type { Connection } from './connection.ts'
import { readPosition } from './positions.ts'
import { RowReader, rowsSql } from './record-rows.ts'

/** What is needed of a circuit breaker (storage/breaker.ts). */
interface StoreBreaker {
  tryNow(): boolean
  succeeded(): void
  failed(error: string): number
}

export interface StoredRecordsOptions {
  /** With its password; it may change. */
  readonly url: () => string
  readonly schema: string
  readonly shard: number
  /** Of the journal that the rows must have come from, as text. */
  readonly journal: string
  readonly connectTimeoutMs: number
  readonly breaker: StoreBreaker
  /** What is read at once, over all shards. */
  readonly readers: { count: number }
  /** Of them, at most; FEED_STORE_REPLAYS_MAX if not given. */
  readonly readersMax?: number
}

const MARGINS_MS = [2000, 60_000, 3_600_000, 86_400_000, Number.POSITIVE_INFINITY]
/** A page that took so long was looked for too widely. */
const SLOW_MS = 200
/** A connection that is cut is opened anew so often, for one page. */
const ATTEMPTS = 2
const QUERY_CANCELED = '57014'

export class StoredRecords {
  readonly #options: StoredRecordsOptions

  constructor(options: StoredRecordsOptions) {
    this.#options = options
  }

  get isFull(): boolean {
    const { readers, readersMax = FEED_STORE_REPLAYS_MAX } = this.#options
    return readers.count >= readersMax
  }

  /** `recvMs`: about when the first record was received. undefined = it is full. */
  open(fromSeq: number, recvMs: number, toSeq: () => number): StoredRecordsReader | undefined {
    if (this.isFull) return undefined
    this.#options.readers.count++
    return new StoredRecordsReader(this.#options, { fromSeq, recvMs, toSeq })
  }
}

interface Extent {
  readonly fromSeq: number
  readonly recvMs: number
  /** Nothing is read from here on. */
  readonly toSeq: () => number
}

const split: Split = { negative: false, a: 0, b: 0 }

export class StoredRecordsReader {
  /** Of the next record. */
  seq: number
  state: 'reading' | 'gone' | 'away' = 'reading'
  /** Why it is gone or away. */
  text = ''
  readonly #options: StoredRecordsOptions
  readonly #toSeq: () => number
  readonly #page = new TickBatch(FEED_STORE_PAGE_TICKS)
  #pageSeq: number
  #connection: Connection | undefined
  /** About when the next record happened; not finite = not known. */
  #nearMs: number
  #margin = 0
  #wasWidest = false
  #isBusy = false
  #isClosed = false

  constructor(options: StoredRecordsOptions, { fromSeq, recvMs, toSeq }: Extent) {
    this.#options = options
    this.#toSeq = toSeq
    this.seq = fromSeq
    this.#pageSeq = fromSeq
    this.#nearMs = recvMs
    void this.#load()
  }

  /** Consecutive records before `toSeq`; 0 = not here yet, or `state` says why. */
  read(out: TickBatch, toSeq: number): number {
    out.count = 0
    if (this.#isBusy || this.state !== 'reading') return 0
    const at = this.seq - this.#pageSeq
    const count = Math.min(out.capacity, this.#page.count - at, toSeq - this.seq)
    if (count > 0) {
      out.words.set(this.#page.words.subarray(at * TICK_WORDS, (at + count) * TICK_WORDS))
      out.count = count
      this.seq += count
    }
    // The next one comes while this is sent.
    if (this.seq - this.#pageSeq >= this.#page.count) void this.#load()
    return out.count
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#options.readers.count--
    this.#connection?.destroy()
    this.#connection = undefined
  }

  async #load(): Promise<void> {
    if (this.seq >= this.#toSeq()) return
    this.#isBusy = true
    let thrown: unknown
    for (let attempt = 0; attempt < ATTEMPTS && !this.#isClosed; attempt++) {
      try {
        await this.#find()
        this.#options.breaker.succeeded()
        this.#isBusy = false
        return
      } catch (error) {
        thrown = error
        this.#connection?.destroy()
        this.#connection = undefined
        if (codeOf(error) === QUERY_CANCELED) break
      }
    }
    this.#isBusy = false
    if (!this.#isClosed) this.#fail(thrown)
  }

  #fail(thrown: unknown): void {
    this.state = 'away'
    if (codeOf(thrown) === QUERY_CANCELED) {
      this.text = `PostgreSQL took longer than ${FEED_STORE_PAGE_MS_MAX} ms`
      this.#options.breaker.succeeded()
    } else {
      this.text = 'PostgreSQL does not answer'
      if (!(thrown instanceof NotAsked)) this.#options.breaker.failed(errorText(thrown))
    }
  }

  /** Looks for the next record, and those behind it, further and further away. */
  async #find(): Promise<void> {
    this.#connection ??= await this.#connect()
    while (this.state === 'reading' && !this.#isClosed) {
      const startMs = performance.now()
      const wanted = Math.min(FEED_STORE_PAGE_TICKS, this.#toSeq() - this.seq)
      const count = await this.#query(this.#connection, wanted)
      const ms = performance.now() - startMs
      const widest = MARGINS_MS.length - 1
      if (count < wanted && this.#margin < widest) this.#margin++
      else if (ms > SLOW_MS && this.#margin > 0) this.#margin--
      if (count > 0) return
      if (this.#wasWidest) this.#gone(`PostgreSQL does not have the record ${this.seq}`)
    }
  }

  async #query({ client }: Connection, wanted: number): Promise<number> {
    const { schema, shard } = this.#options
    const marginMs = MARGINS_MS[this.#margin] as number
    const isBounded = Number.isFinite(marginMs) && Number.isFinite(this.#nearMs)
    this.#wasWidest = !isBounded
    const times = { fromMs: this.#nearMs - marginMs, toMs: this.#nearMs + marginMs }
    const from = this.seq
    const rows = new RowReader(this.#page, shard, from)
    this.#pageSeq = from
    const range = { schema, shard, from, to: from + wanted }
    const sql = rowsSql({ ...range, times: isBounded ? times : undefined })
    const copy = new CopyOut(sql, (piece) => rows.push(piece))
    // For a server that says nothing any more, beyond its own time-out.
    const timer = setTimeout(() => this.#connection?.destroy(), FEED_STORE_PAGE_MS_MAX + 1000)
    try {
      client.query(copy)
      await copy.done
    } finally {
      clearTimeout(timer)
    }
    const { count, words } = this.#page
    const last = (count - 1) * TICK_WORDS + WORD.ts_event
    if (count > 0 && words[last + 1] !== NULL_HI) {
      readSplit(words, last, split)
      this.#nearMs = (split.negative ? -1 : 1) * (split.a * 1000 + split.b / 1e6)
    }
    return count
  }

  async #connect(): Promise<Connection> {
    const { url, schema, shard, journal, connectTimeoutMs, breaker } = this.#options
    if (!breaker.tryNow()) throw new NotAsked('it did not answer a moment ago')
    // Loaded when it is first needed, not by the start of the daemon.
    const { connect } = await import('./connection.ts')
    const options = { url: url(), name: 'tickd replay', timeoutMs: connectTimeoutMs }
    const connection = await connect(options)
    if (this.#isClosed) connection.destroy()
    const { client } = connection
    await client.query(
      `SET statement_timeout = ${FEED_STORE_PAGE_MS_MAX}; SET default_transaction_read_only = on`,
    )
    const position = await readPosition(client, schema, shard)
    if (position?.journal !== journal) this.#gone('PostgreSQL has the records of another journal')
    return connection
  }

  #gone(text: string): void {
    this.state = 'gone'
    this.text = text
  }
}

/** The breaker is open. */
class NotAsked extends Error {}

/**
 * A COPY … TO STDOUT: each piece is given on as it comes. The thread has others to serve: the
 * socket is read once a turn of the event loop, not for as long as it has something.
 */
class CopyOut implements Submittable {
  readonly done: Promise<void>
  readonly #sql: string
  readonly #onPiece: (piece: Buffer) => void
  readonly #outcome = Promise.withResolvers<void>()
  #stream: Socket | undefined
  #isPaused = false

  constructor(sql: string, onPiece: (piece: Buffer) => void) {
    this.#sql = sql
    this.#onPiece = onPiece
    this.done = this.#outcome.promise
  }

  submit(connection: WireConnection): void {
    this.#stream = connection.stream as Socket
    connection.query(this.#sql)
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#onPiece(chunk)
    if (this.#isPaused) return
    this.#isPaused = true
    this.#stream?.pause()
    setImmediate(() => {
      this.#isPaused = false
      this.#stream?.resume()
    })
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#outcome.resolve()
  }

  handleError(error: Error): void {
    this.#outcome.reject(error)
  }
}

function codeOf(thrown: unknown): string {
  return String((thrown as { code?: unknown } | undefined)?.code ?? '')
}
