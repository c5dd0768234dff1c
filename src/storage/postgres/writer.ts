// One shard's hold on the database: connection, lock, position; stores one batch at a time.
//
// Lives as long as its connection. Whatever fails, the writer is thrown away and a new one reads
// the position that was committed: that, with the fence in `advance`, makes storing exactly once.
// The session's advisory lock keeps a second daemon (and our own lost connection, until its backend
// has ended) away from the shard.

import pg from 'pg'
import { TickdError } from '../../errors.ts'
import type { Log } from '../../ops/log.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND_COUNT, KIND_NAMES, type KindName, TICK_BYTES } from '../../tick/layout.ts'
import type { BatchPlan } from './batch-plan.ts'
import { withoutPassword } from './config.ts'
import { type Connection, connect, type Lineage } from './connection.ts'
import { CopyTransaction, PiecePool } from './copy-transaction.ts'
import type { CopyKernel } from './encode.ts'
import { type DataRefusal, dataRefusal, explain } from './explain.ts'
import type { FlushWatch } from './flush-watch.ts'
import { Partitions } from './partitions.ts'
import { readPosition, type StoredPosition } from './positions.ts'
import { RowsRefused } from './refusals.ts'
import { migrate, quoted } from './schema.ts'
import { checkTables } from './schema-check.ts'
import { columnsOf, SHARD_SHIFT, TABLES } from './tables.ts'

const INSTRUMENTS_PER_INSERT = 1000

export interface WriterOptions {
  url: string
  schema: string
  shard: number
  connectTimeoutMs: number
  /** For a backend of ours that is just ending to let go of the shard. */
  lockTimeoutMs: number
  copyBufferBytes: number
  synchronousCommit: boolean
  partitionDaysAhead: number
  /** Where was stored last; see connection.ts. */
  after?: Lineage | undefined
  instruments: InstrumentTable
  kernel: CopyKernel
  /** Opens the connection; a simulation has a database of its own. */
  connect?: typeof connect
  log: Log
  /** Called whenever the server took or sent something. */
  onProgress: () => void
  /** The connection was lost while nothing was asked of it. */
  onLost: (error: TickdError) => void
  /** Cuts `open` short. */
  signal?: AbortSignal
}

/** A batch, and what of it is to be stored. */
export interface Portion {
  readonly batch: TickBatch
  readonly plan: BatchPlan
  /** Of tick 0 of the batch. */
  readonly firstSeq: number
  readonly epoch: number
  /** Whose records they are, as text; see `positions`. */
  readonly journal: string
  readonly start: string
  /** Refused records, by sequence; those of the plan's range are not in its order. */
  readonly culprits: ReadonlyMap<number, DataRefusal>
}

/** What a batch took. */
export interface Stored {
  rows: number
  refused: number
  bytes: number
  partitions: number
  instruments: number
}

export class PostgresWriter {
  /** Next sequence to store, as committed. */
  seq = 0
  /** Epoch of the last record stored. */
  epoch = 0
  /** As found when the writer was opened; undefined = nothing was stored. */
  found: StoredPosition | undefined
  readonly #options: WriterOptions
  /** As SQL takes it. */
  readonly #schema: string
  readonly #connection: Connection
  readonly #partitions: Partitions
  readonly #pool: PiecePool
  /** Instruments 1 … this are in the database. */
  #instrumentCount = 0
  #aheadOfDay = 0
  /** Of the tables as they were when they were looked at. */
  #tablesDigest = ''
  #isStoring = false
  #transaction: CopyTransaction | undefined

  private constructor(options: WriterOptions, connection: Connection) {
    this.#options = options
    this.#connection = connection
    this.#schema = quoted(options.schema)
    this.#partitions = new Partitions(connection.client, this.#schema, options.log)
    this.#pool = new PiecePool(options.copyBufferBytes)
  }

  /** Throws TickdError POSTGRES_UNREACHABLE, _REFUSED, _CONFLICT or _BROKEN. */
  static async open(options: WriterOptions): Promise<PostgresWriter> {
    const { url, shard, schema, signal } = options
    const connection = await (options.connect ?? connect)({
      url,
      name: `tickd ${schema} ${shard}`,
      timeoutMs: options.connectTimeoutMs,
      after: options.after,
      onLost: (error) => options.onLost(explain(error, url)),
    })
    const writer = new PostgresWriter(options, connection)
    const cut = () => connection.destroy()
    signal?.addEventListener('abort', cut)
    try {
      await writer.#begin()
      return writer
    } catch (thrown) {
      connection.close()
      throw explain(thrown, url)
    } finally {
      signal?.removeEventListener('abort', cut)
    }
  }

  /** Of the server; undefined where it does not tell. */
  get lineage(): Lineage | undefined {
    return this.#connection.lineage
  }

  /** `host:port` of the server, to be shown. */
  get host(): string {
    return this.#connection.host ?? ''
  }

  /**
   * Stores the planned ticks of the batch in one transaction. Throws RowsRefused when the server
   * does not take the rows: nothing is stored then, and the writer is of use as before. After any
   * other throw it is not.
   */
  async store(portion: Portion, today: number): Promise<Stored> {
    const { batch, plan, firstSeq, epoch } = portion
    const { kernel, shard, onProgress, url } = this.#options
    const toSeq = firstSeq + plan.to
    this.#isStoring = true
    try {
      this.#refuseOlderEpoch(epoch)
      const instruments = await this.#storeInstruments()
      const partitions = await this.#makePartitions(plan, today)
      const transaction = new CopyTransaction({
        sql: this.#transactionSql(portion, this.#advanceSql(this.seq, toSeq, portion)),
        kernel,
        batch,
        plan,
        shard,
        firstSeq,
        pool: this.#pool,
        onProgress,
      })
      const bytes = await this.#commit(transaction)
      this.seq = toSeq
      this.epoch = epoch
      this.#isStoring = false
      const rows = plan.rowCount
      return { rows, refused: plan.to - plan.from - rows, bytes, partitions, instruments }
    } catch (thrown) {
      if (thrown instanceof RowsRefused) throw thrown
      throw explain(thrown, url)
    }
  }

  /** Asks what of it a crash of the server can no longer undo; `watch` is of this connection. */
  async ask(watch: FlushWatch, nowMs: number): Promise<void> {
    try {
      await watch.ask(this.#connection.client, this.seq, nowMs)
    } catch (thrown) {
      throw explain(thrown, this.#options.url)
    }
  }

  /** Moves the position on to `seq` without a record: another journal begins there. */
  async jump(seq: number, journal: string): Promise<void> {
    const to = { epoch: this.epoch, journal, start: '' }
    try {
      await this.#connection.client.query(this.#advanceSql(this.seq, seq, to))
    } catch (thrown) {
      throw explain(thrown, this.#options.url)
    }
    this.seq = seq
  }

  /** Ends the connection. A transaction under way is cut off: it commits whole or not at all. */
  close(): void {
    this.#transaction?.abort()
    if (this.#isStoring) this.#connection.destroy()
    else this.#connection.close()
  }

  async #commit(transaction: CopyTransaction): Promise<number> {
    this.#transaction = transaction
    this.#connection.client.query(transaction)
    try {
      return await transaction.committed
    } catch (thrown) {
      const why = dataRefusal(thrown, (name) => COLUMN_NAMES.has(name))
      if (why === undefined) throw thrown
      await this.#connection.client.query('ROLLBACK')
      this.#isStoring = false
      throw new RowsRefused(why, transaction.indexOfLine(why.line))
    } finally {
      this.#transaction = undefined
    }
  }

  async #begin(): Promise<void> {
    const { client } = this.#connection
    const { shard } = this.#options
    const schema = this.#schema
    // A role's own time-outs are meant for people; ours are in STORE_STALL_MS_MAX.
    await client.query('SET statement_timeout = 0; SET idle_session_timeout = 0')
    // A machine that vanished must not hold its lock for the two hours of TCP's default.
    await client.query('SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10')
    await client.query('SET tcp_keepalives_count = 3')
    await migrate(client, this.#options.schema)
    this.#tablesDigest = await checkTables(client, this.#options.schema)
    await this.#lock()
    await client.query(
      `INSERT INTO ${schema}.positions (shard, seq, epoch)
      VALUES ($1, 0, 0) ON CONFLICT DO NOTHING`,
      [shard],
    )
    this.found = await readPosition(client, this.#options.schema, shard)
    this.seq = this.found?.seq ?? 0
    this.epoch = this.found?.epoch ?? 0
    await this.#compareInstruments()
    await this.#partitions.load()
  }

  /** The session lock of (schema, shard); waits a little for a backend that is just ending. */
  async #lock(): Promise<void> {
    const { client } = this.#connection
    const { schema, shard, lockTimeoutMs, url } = this.#options
    const name = `tickd ${schema} shard ${shard}`
    await client.query(`SET lock_timeout = ${lockTimeoutMs}`)
    try {
      await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== '55P03') throw thrown
      throw new TickdError(
        'POSTGRES_CONFLICT',
        `another tickd stores shard ${shard} into schema ${schema} of ${withoutPassword(url)}, ` +
          'or its connection has not ended there yet; stop it, or set postgres.schema to another ' +
          'name',
        { canRetry: true, cause: thrown },
      )
    }
    await client.query('SET lock_timeout = 0')
  }

  /** Ids name instruments in stored rows: they must mean here what they mean in the database. */
  async #compareInstruments(): Promise<void> {
    const { schema, instruments } = this.#options
    const { rows } = await this.#connection.client.query<Instrument>(
      `SELECT id, venue, symbol FROM ${this.#schema}.instruments ORDER BY id`,
    )
    for (const { id, venue, symbol } of rows) {
      const ours = instruments.get(id)
      if (ours?.venue === venue && ours.symbol === symbol) continue
      const is = ours === undefined ? 'unknown' : `${ours.venue} ${ours.symbol}`
      throw new TickdError(
        'POSTGRES_CONFLICT',
        `instrument ${id} is ${venue} ${symbol} in schema ${schema}, and ${is} here: the ` +
          'database belongs to another state directory; bring that one back, or set ' +
          'postgres.schema to another name',
      )
    }
    this.#instrumentCount = rows.at(-1)?.id ?? 0
  }

  /** Inserts the instruments that are new: durable in the log before any tick could name them. */
  async #storeInstruments(): Promise<number> {
    const { instruments } = this.#options
    const before = this.#instrumentCount
    const count = instruments.count
    while (this.#instrumentCount < count) {
      const from = this.#instrumentCount + 1
      const to = Math.min(count, this.#instrumentCount + INSTRUMENTS_PER_INSERT)
      const rows = Array.from({ length: to - from + 1 }, (_, i) => instruments.get(from + i))
      // Another shard may be at the same; ascending order keeps the two from a deadlock.
      await this.#connection.client.query(
        `INSERT INTO ${this.#schema}.instruments (id, venue, symbol, venue_symbol)
         SELECT * FROM unnest($1::int4[], $2::text[], $3::text[], $4::text[])
         ON CONFLICT (id) DO NOTHING`,
        [
          rows.map((row) => row?.id),
          rows.map((row) => row?.venue),
          rows.map((row) => row?.symbol),
          rows.map((row) => row?.venueSymbol),
        ],
      )
      this.#options.onProgress()
      this.#instrumentCount = to
    }
    return this.#instrumentCount - before
  }

  async #makePartitions(plan: BatchPlan, today: number): Promise<number> {
    const created = await this.#partitions.ensure(plan)
    this.#options.onProgress()
    if (this.#aheadOfDay === today) return created
    this.#aheadOfDay = today
    const ahead = await this.#partitions.ensureAhead(today, this.#options.partitionDaysAhead)
    return created + ahead
  }

  /** A batch within one day of a kind goes straight to its partition: a tenth faster. */
  #transactionSql(portion: Portion, advance: string): string {
    const { plan } = portion
    const { synchronousCommit } = this.#options
    const commit = `SET LOCAL synchronous_commit = ${synchronousCommit ? 'on' : 'off'}`
    const statements = ['BEGIN', commit]
    const leaves: string[] = []
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      if (plan.starts[kind] === plan.starts[kind + 1]) continue
      const table = this.#partitions.tableOf(kind, plan.leafDays[kind] as number)
      if (table !== this.#partitions.tableOf(kind, NO_DAY)) leaves.push(pg.escapeLiteral(table))
      statements.push(`COPY ${table} (${COPY_COLUMNS[kind]}) FROM STDIN (FORMAT binary)`)
    }
    const schema = this.#schema
    const check = `'${this.#tablesDigest}', ARRAY[${leaves.join(', ')}]::regclass[]`
    statements.push(`CALL ${schema}.check_tables(${check})`)
    const refused = plan.rowCount < plan.to - plan.from ? this.#refusedSql(portion) : []
    statements.push(...refused, advance, 'COMMIT')
    return statements.join(';\n')
  }

  #advanceSql(fromSeq: number, toSeq: number, of: Omit<StoredPosition, 'seq'>): string {
    const texts = [of.journal, of.start].map((text) => pg.escapeLiteral(text))
    const values = [this.#options.shard, fromSeq, toSeq, of.epoch, ...texts]
    return `CALL ${this.#schema}.advance(${values.join(', ')})`
  }

  /** Notes the culprits of the range, whole, in the transaction that goes on without them. */
  #refusedSql({ batch, plan, firstSeq, culprits }: Portion): string[] {
    const shard = BigInt(this.#options.shard) << BigInt(SHARD_SHIFT)
    const rows: string[] = []
    for (const [seq, { sqlState, text }] of culprits) {
      const index = seq - firstSeq
      if (index < plan.from || index >= plan.to) continue
      const tick = batch.bytes.subarray(index * TICK_BYTES, (index + 1) * TICK_BYTES)
      const hex = Buffer.from(tick).toString('hex')
      const message = pg.escapeLiteral(text.replaceAll('\0', ''))
      rows.push(`(${shard + BigInt(seq)}, '${sqlState}', ${message}, '\\x${hex}')`)
    }
    const columns = 'seq, sqlstate, message, tick'
    return [`INSERT INTO ${this.#schema}.refused (${columns}) VALUES ${rows.join(', ')}`]
  }

  #refuseOlderEpoch(epoch: number): void {
    if (epoch >= this.epoch) return
    throw new TickdError(
      'POSTGRES_CONFLICT',
      `shard ${this.#options.shard}: the database holds records of epoch ${this.epoch}, and the ` +
        `journal is at epoch ${epoch}: it is not the journal these were stored from; bring that ` +
        'one back, or set postgres.schema to another name',
    )
  }
}

/** Of no partition: gives the parent. */
const NO_DAY = Number.NaN
/** Columns that tickd made, of any table. */
const COLUMN_NAMES = new Set(TABLES.flatMap((kind) => columnsOf(kind).map(({ name }) => name)))
/** COPY column lists, by kind number. */
const COPY_COLUMNS: readonly string[] = Array.from({ length: KIND_COUNT }, (_, kind) => {
  const name = KIND_NAMES[kind]
  return name === undefined
    ? ''
    : columnsOf(name as KindName)
        .map(({ name }) => name)
        .join(', ')
})
