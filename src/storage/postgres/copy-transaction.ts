// One transaction that stores one batch: a single query text, and the COPY data right behind it.
//
//   Q  BEGIN; SET LOCAL …; COPY trade …; COPY quote …; CALL advance(…); COMMIT
//   d  header, rows   d  rows …   d  rows, trailer   c      (for each COPY of the text, in order)
//
// Nothing waits for an answer: PostgreSQL reads the data when it reaches the COPY, and throws it
// away (protocol, "COPY Operations") when the text failed before. So a batch costs one round trip,
// however many tables it touches. An error anywhere leaves the COMMIT unexecuted.
//
// Data goes out in pieces that belong to a pool; the message header is written into the piece, and
// a piece is one write to the socket. The pool bounds what is encoded but not sent.

import type { Connection, Submittable } from 'pg'
import { assert } from '../../errors.ts'
import type { TickBatch } from '../../tick/batch.ts'
import { KIND_COUNT } from '../../tick/layout.ts'
import type { BatchPlan } from './batch-plan.ts'
import type { CopyKernel } from './encode.ts'
import { ROW_BYTES_MAX } from './tables.ts'

const COPY_DATA = 0x64
const COPY_DONE = 0x63
/** Message type and length. */
const MESSAGE_HEADER_BYTES = 5
/** "PGCOPY\n\377\r\n\0", flags, no extension. */
const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const COPY_TRAILER_BYTES = 2
/** Of a kind's data around its rows, if all of it is in one piece. */
const OVERHEAD_BYTES = 2 * MESSAGE_HEADER_BYTES + COPY_HEADER.length + COPY_TRAILER_BYTES
const PIECES = 3

interface Piece {
  readonly bytes: Buffer
  readonly view: DataView
}

/** The buffers of one connection. */
export class PiecePool {
  readonly #free: Piece[]

  constructor(pieceBytes: number) {
    assert(pieceBytes >= OVERHEAD_BYTES + Math.max(...ROW_BYTES_MAX), 'a piece holds a row')
    this.#free = Array.from({ length: PIECES }, () => {
      const bytes = Buffer.allocUnsafeSlow(pieceBytes)
      return { bytes, view: new DataView(bytes.buffer) }
    })
  }

  take(): Piece | undefined {
    return this.#free.pop()
  }

  give(piece: Piece): void {
    this.#free.push(piece)
  }
}

export interface CopyTransactionOptions {
  /** The query text; a COPY for each kind that the plan has, by kind number. */
  sql: string
  kernel: CopyKernel
  batch: TickBatch
  plan: BatchPlan
  shard: number
  /** Of tick 0 of the batch. */
  firstSeq: number
  pool: PiecePool
  /** Called whenever the other side took or sent something. */
  onProgress: () => void
}

export class CopyTransaction implements Submittable {
  /** Resolves with the COPY bytes sent, once committed. */
  readonly committed: Promise<number>
  readonly #options: CopyTransactionOptions
  readonly #outcome = Promise.withResolvers<number>()
  #connection: Connection | undefined
  #kind = 0
  /** Next row of the plan's order. */
  #row = 0
  #isCopyOpen = false
  #bytesSent = 0
  /** COPYs of the text that are done. */
  #copyCount = 0

  constructor(options: CopyTransactionOptions) {
    this.#options = options
    this.committed = this.#outcome.promise
  }

  submit(connection: Connection): void {
    this.#connection = connection
    connection.query(this.#options.sql)
    this.#pump()
  }

  handleCommandComplete({ text }: { text: string }): void {
    if (text.startsWith('COPY')) this.#copyCount++
    this.#options.onProgress()
  }

  /** The tick of the batch that was row `line`, from 1, of the COPY that failed; -1 = none. */
  indexOfLine(line: number): number {
    const { order, starts } = this.#options.plan
    let copies = this.#copyCount
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      const start = starts[kind] as number
      const count = (starts[kind + 1] as number) - start
      if (count === 0 || copies-- > 0) continue
      return line >= 1 && line <= count ? (order[start + line - 1] as number) : -1
    }
    return -1
  }

  handleCopyInResponse(): void {
    this.#options.onProgress()
  }

  handleReadyForQuery(): void {
    this.#outcome.resolve(this.#bytesSent)
  }

  /** The server refused, or the connection is lost: pg calls no other handler after it. */
  handleError(error: Error): void {
    this.#connection = undefined
    this.#outcome.reject(error)
  }

  /** Sends nothing more: the batch may be changed, and the connection must be cut. */
  abort(): void {
    this.#connection = undefined
  }

  /** Sends until all is sent, or no piece is free; goes on when the socket gives one back. */
  #pump(): void {
    const { pool } = this.#options
    while (this.#connection !== undefined && this.#hasMore()) {
      const piece = pool.take()
      if (piece === undefined) return
      const size = this.#fill(piece)
      this.#bytesSent += size
      this.#connection.stream.write(piece.bytes.subarray(0, size), (error) => {
        pool.give(piece)
        // handleError() follows, and tells.
        if (error) return
        this.#options.onProgress()
        this.#pump()
      })
    }
  }

  /** Moves to the next kind with rows. */
  #hasMore(): boolean {
    const { starts } = this.#options.plan
    while (this.#kind < KIND_COUNT && this.#row === starts[this.#kind + 1]) this.#kind++
    return this.#kind < KIND_COUNT
  }

  /** Fills a piece with as many messages as it takes. Returns the bytes used. */
  #fill({ bytes, view }: Piece): number {
    const { plan } = this.#options
    let at = 0
    while (this.#hasMore()) {
      const rowBytes = ROW_BYTES_MAX[this.#kind] as number
      const room = Math.floor((bytes.length - at - OVERHEAD_BYTES) / rowBytes)
      const rest = (plan.starts[this.#kind + 1] as number) - this.#row
      if (room < 1) break
      at = this.#message(bytes, view, at, Math.min(room, rest))
    }
    return at
  }

  /** One CopyData message with `count` rows of the kind; CopyDone behind its last one. */
  #message(bytes: Buffer, view: DataView, start: number, count: number): number {
    const { kernel, batch, plan, shard, firstSeq } = this.#options
    let at = start + MESSAGE_HEADER_BYTES
    if (!this.#isCopyOpen) {
      COPY_HEADER.copy(bytes, at)
      at += COPY_HEADER.length
      this.#isCopyOpen = true
    }
    const end = this.#row + count
    at = kernel.encode(this.#kind, batch, plan.order, this.#row, end, shard, firstSeq, view, at)
    this.#row = end
    const isLast = end === plan.starts[this.#kind + 1]
    if (isLast) {
      view.setInt16(at, -1)
      at += COPY_TRAILER_BYTES
    }
    bytes[start] = COPY_DATA
    // The length counts itself, not the type.
    view.setInt32(start + 1, at - start - 1)
    if (!isLast) return at
    this.#isCopyOpen = false
    this.#kind++
    bytes[at] = COPY_DONE
    view.setInt32(at + 1, 4)
    return at + MESSAGE_HEADER_BYTES
  }
}
