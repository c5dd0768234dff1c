// One shard's hold on the database: connection, lock, position; stores one batch at a time.
//
// Lives as long as its connection. Whatever fails, the writer is thrown away and a new one reads
// the position that was committed: that, with the fence in `advance`, makes storing exactly once.
// The session's advisory lock keeps a second daemon (and our own lost connection, until its backend
// has ended) away from the shard.

import { TickdError } from '../../errors.ts'
import type { Log } from '../../ops/log.ts'
import type { TickBatch } from '../../tick/batch.ts'
import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND_COUNT, KIND_NAMES, type KindName } from '../../tick/layout.ts'
import type { BatchPlan } from './batch-plan.ts'
import { withoutPassword } from './config.ts'
import { type Connection, connect, explain } from './connection.ts'
import { CopyTransaction, PiecePool } from './copy-transaction.ts'
import type { CopyKernel } from './encode.ts'
import { Partitions } from './partitions.ts'
import { migrate, quoted } from './schema.ts'
import { columnsOf } from './tables.ts'

const INSTRUMENTS_PER_INSERT = 1000

export interface WriterOptions {
  url: string
  schema: string
  shard: number
  connectTimeoutMs: number
  copyBufferBytes: number
  synchronousCommit: boolean
  partitionDaysAhead: number
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

/** What a batch took. */
export interface Stored {
  rows: number
  bytes: number
  partitions: number
  instruments: number
}

export class PostgresWriter {
  /** Next sequence to store, as committed. */
  seq = 0
  /** Epoch of the last record stored. */
  epoch = 0
  readonly #options: WriterOptions
  /** As SQL takes it. */
  readonly #schema: string
  readonly #connection: Connection
  readonly #partitions: Partitions
  readonly #pool: PiecePool
  /** Instruments 1 … this are in the database. */
  #instrumentCount = 0
  #aheadOfDay = 0
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

  /**
   * Stores the planned ticks of the batch, whose tick 0 has sequence `firstSeq`, in one
   * transaction. After a throw the writer is of no more use.
   */
  async store(
    batch: TickBatch,
    plan: BatchPlan,
    firstSeq: number,
    epoch: number,
    today: number,
  ): Promise<Stored> {
    const { kernel, shard, onProgress } = this.#options
    const toSeq = firstSeq + plan.to
    this.#isStoring = true
    try {
      this.#refuseOlderEpoch(epoch)
      const instruments = await this.#storeInstruments()
      const partitions = await this.#makePartitions(plan, today)
      const transaction = new CopyTransaction({
        sql: this.#transactionSql(plan, [shard, this.seq, toSeq, epoch]),
        kernel,
        batch,
        plan,
        shard,
        firstSeq,
        pool: this.#pool,
        onProgress,
      })
      this.#transaction = transaction
      this.#connection.client.query(transaction)
      const bytes = await transaction.committed
      this.seq = toSeq
      this.epoch = epoch
      this.#transaction = undefined
      this.#isStoring = false
      return { rows: plan.to - plan.from, bytes, partitions, instruments }
    } catch (thrown) {
      throw explain(thrown, this.#options.url)
    }
  }

  /** Ends the connection. A transaction under way is cut off: it commits whole or not at all. */
  close(): void {
    this.#transaction?.abort()
    if (this.#isStoring) this.#connection.destroy()
    else this.#connection.close()
  }

  async #begin(): Promise<void> {
    const { client } = this.#connection
    const { shard } = this.#options
    const schema = this.#schema
    // A role's own time-outs are meant for people; ours are in STORE_STALL_MS_MAX.
    await client.query('SET statement_timeout = 0; SET idle_session_timeout = 0')
    // A machine that vanished must not hold its lock for the two hours of TCP's default.
    await client.query('SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10')
    await migrate(client, this.#options.schema)
    await this.#lock()
    await client.query(
      `INSERT INTO ${schema}.positions (shard, seq, epoch)
      VALUES ($1, 0, 0) ON CONFLICT DO NOTHING`,
      [shard],
    )
    const { rows } = await client.query(
      `SELECT seq, epoch FROM ${schema}.positions WHERE shard = $1`,
      [shard],
    )
    this.seq = Number(rows[0]?.seq)
    this.epoch = Number(rows[0]?.epoch)
    await this.#compareInstruments()
    await this.#partitions.load()
  }

  /** The session lock of (schema, shard); waits a little for a backend that is just ending. */
  async #lock(): Promise<void> {
    const { client } = this.#connection
    const { schema, shard, connectTimeoutMs, url } = this.#options
    const name = `tickd ${schema} shard ${shard}`
    await client.query(`SET lock_timeout = ${connectTimeoutMs}`)
    try {
      await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== '55P03') throw thrown
      throw new TickdError(
        'POSTGRES_CONFLICT',
        `another tickd stores shard ${shard} into schema ${schema} of ${withoutPassword(url)}; ` +
          'stop it, or set postgres.schema to another name',
        { cause: thrown },
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
  #transactionSql(plan: BatchPlan, advance: readonly number[]): string {
    const { synchronousCommit } = this.#options
    const commit = `SET LOCAL synchronous_commit = ${synchronousCommit ? 'on' : 'off'}`
    const statements = ['BEGIN', commit]
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      if (plan.starts[kind] === plan.starts[kind + 1]) continue
      const table = this.#partitions.tableOf(kind, plan.leafDays[kind] as number)
      statements.push(`COPY ${table} (${COPY_COLUMNS[kind]}) FROM STDIN (FORMAT binary)`)
    }
    statements.push(`CALL ${this.#schema}.advance(${advance.join(', ')})`, 'COMMIT')
    return statements.join(';\n')
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

/** COPY column lists, by kind number. */
const COPY_COLUMNS: readonly string[] = Array.from({ length: KIND_COUNT }, (_, kind) => {
  const name = KIND_NAMES[kind]
  return name === undefined
    ? ''
    : columnsOf(name as KindName)
        .map(({ name }) => name)
        .join(', ')
})
