// Push with acknowledgements: the protocol of one connection, without its socket. docs/push.md.
//
//   client                                            daemon
//   {"op":"hello","acks":true}                     →
//                                                  ←  {"op":"welcome","epoch":…,"shard":…, limits}
//   {"op":"batch","id":"a-1","bytes":4096} + bytes →
//   {"op":"batch","id":"a-2","bytes":1024} + bytes →
//                                                  ←  {"op":"ack","batch":1,"id":"a-1",…}
//
// A batch becomes one frame of the ring. Acknowledgements go out in the order of the batches, each
// when its records are durable: must happen before it is written to the socket. Bounded: the line,
// the batch, the batches without an acknowledgement. What does not fit is left in the socket.

import { BATCH_ID_LENGTH_MAX, KIB, TCP_BATCH_BYTES_MAX, TCP_BATCHES_MAX } from '../limits.ts'
import { batchKey, batchPrefix } from '../ring/batch-mark.ts'
import type { Receipt } from '../ring/feedback.ts'
import { FRAME_FLAG } from '../ring/frame-ring.ts'
import { TICK_BYTES } from '../tick/layout.ts'
import type { Cutter, TakeFrame } from './tcp-framing.ts'

/** What a stream begins with that wants acknowledgements; no tick of either format does. */
export const HELLO = Buffer.from('{"op":"hello"')
const LINE_END = 0x0a
const LINE_BYTES_MAX = 2 * KIB
const NOTHING = new Uint8Array(0)

export interface AckSessionOptions {
  /** Name of the source: ids are its own. */
  readonly source: string
  readonly format: 'ndjson' | 'packed'
  readonly epoch: number
  readonly shard: number
  /** Next sequence after the durable ones. */
  readonly durable: () => number
  /** Monotonic. */
  readonly nowMs: () => number
  /** A token for a frame; undefined when too many are out. */
  readonly freeToken: () => number | undefined
  /** Puts a frame on the ring. False: no room now. */
  readonly offer: (flags: number, token: number, ...parts: Parameters<TakeFrame>) => boolean
  /** The frame with this token is on the ring, and its receipt ours. */
  readonly expect: (token: number, session: AckSession) => void
  /** Writes lines to the socket. False: it has more than enough to send. */
  readonly send: (text: string) => boolean
}

/** A batch on its way. */
interface Batch {
  readonly number: number
  readonly id: string | undefined
  readonly token: number
  /** When it went on the ring, monotonic. */
  readonly sentMs: number
  receipt: Receipt | undefined
}

export class AckSession implements Cutter {
  refusal = ''
  /** It can go on only when something was acknowledged, or read by the other side. */
  isWaiting = false
  readonly #options: AckSessionOptions
  #isWelcome = false
  #batchCount = 0
  /** On the ring and not acknowledged, in order. */
  readonly #sent: Batch[] = []
  /** Of the line that is being read. */
  #line = NOTHING
  /** The batch that is being read: its id, its size, and what came of it. */
  #id: string | undefined
  #size = 0
  #body = NOTHING
  #bodyBytes = 0
  /** The other side has more to read than it should: nothing more is taken from it. */
  #isSocketFull = false

  constructor(options: AckSessionOptions) {
    this.#options = options
  }

  get keptBytes(): number {
    return this.#line.length + this.#bodyBytes
  }

  /** Batches on the ring and not acknowledged. */
  get sentCount(): number {
    return this.#sent.length
  }

  /** Nothing is left to be acknowledged, and the socket has room. */
  get isSettled(): boolean {
    return this.#sent.length === 0 && !this.#isSocketFull
  }

  /** As a cutter does; frames go to the options' `offer` instead. */
  push(data: Uint8Array, start: number, end: number): number {
    let at = start
    this.isWaiting = false
    while (at < end && this.refusal === '') {
      if (this.#size === 0) {
        at = this.#readLine(data, at, end)
        continue
      }
      const before = at
      at = this.#readBody(data, at, end)
      if (at === before) break
    }
    return at
  }

  /** A batch that the stream ended in was never whole: nothing of it goes on. */
  flush(): boolean {
    return true
  }

  onReceipt(receipt: Receipt): void {
    const batch = this.#sent.find(({ token }) => token === receipt.token)
    if (batch !== undefined) batch.receipt = receipt
  }

  /**
   * Acknowledges what has become durable. Returns how many batches. After `patienceMs` without a
   * word from decode or journal on the oldest one, the session is over.
   */
  settle(patienceMs: number): number {
    const durable = this.#options.durable()
    let text = ''
    let count = 0
    for (const { receipt } of this.#sent) {
      if (receipt === undefined) break
      if (receipt.firstSeq + receipt.accepted + receipt.repeated > durable) break
      text += this.#answer(this.#sent[count++] as Batch, receipt)
    }
    if (count > 0) this.#sent.splice(0, count)
    // Also asks again, with nothing to say, whether the socket has room.
    if (text !== '' || this.#isSocketFull) this.#isSocketFull = !this.#options.send(text)
    const oldest = this.#sent[0]
    if (oldest !== undefined && this.#options.nowMs() - oldest.sentMs > patienceMs) {
      this.#refuse('not_confirmed', 'the journal has not confirmed in time; send again, by id')
    }
    return count
  }

  #readLine(data: Uint8Array, start: number, end: number): number {
    const found = data.indexOf(LINE_END, start)
    const cut = found < 0 || found >= end ? end : found + 1
    const line = Buffer.concat([this.#line, data.subarray(start, cut)])
    const isWhole = line[line.length - 1] === LINE_END
    this.#line = isWhole ? NOTHING : line
    if (line.length > LINE_BYTES_MAX) {
      this.#refuse('bad_line', `a line is longer than ${LINE_BYTES_MAX} bytes`)
    } else if (isWhole) this.#obey(line.toString('utf8').trim())
    return cut
  }

  #obey(text: string): void {
    if (text === '') return
    const line = parseLine(text)
    if (line?.op === 'hello' && !this.#isWelcome) this.#greet(line)
    else if (line?.op === 'batch' && this.#isWelcome) this.#begin(line)
    else this.#refuse('bad_line', 'neither hello, at first, nor batch, thereafter')
  }

  #greet(line: Record<string, unknown>): void {
    const { epoch, shard, source, format } = this.#options
    if (line.acks !== true) {
      this.#refuse('bad_hello', 'a hello says "acks":true; without acknowledgements, leave it out')
      return
    }
    this.#isWelcome = true
    const limits = { batch_bytes_max: TCP_BATCH_BYTES_MAX, batches_max: TCP_BATCHES_MAX }
    this.#say({ op: 'welcome', source, format, epoch, shard, ...limits })
  }

  #begin({ id, bytes }: Record<string, unknown>): void {
    const isSized = typeof bytes === 'number' && Number.isInteger(bytes) && bytes > 0
    if (!isSized || bytes > TCP_BATCH_BYTES_MAX) {
      this.#refuse('bad_batch', `"bytes" is 1 … ${TCP_BATCH_BYTES_MAX}`)
    } else if (this.#options.format === 'packed' && bytes % TICK_BYTES !== 0) {
      this.#refuse('bad_batch', `"bytes" of packed ticks is a multiple of ${TICK_BYTES}`)
    } else if (id !== undefined && !isId(id)) {
      this.#refuse('bad_batch', `"id" is a text of 1 … ${BATCH_ID_LENGTH_MAX} characters`)
    } else {
      this.#id = id
      this.#size = bytes
    }
  }

  /** Takes bytes of the batch; `start` where it cannot go on. */
  #readBody(data: Uint8Array, start: number, end: number): number {
    const missing = this.#size - this.#bodyBytes
    if (missing > end - start) {
      this.#keep(data, start, end)
      return end
    }
    const { offer, freeToken, expect, source, nowMs } = this.#options
    this.isWaiting = this.#sent.length >= TCP_BATCHES_MAX || this.#isSocketFull
    const token = this.isWaiting ? undefined : freeToken()
    if (token === undefined) {
      this.isWaiting = true
      return start
    }
    // All in one piece, as small batches are: not copied but once, into the ring.
    const head = this.#body.subarray(0, this.#bodyBytes)
    const isMarked = this.#id !== undefined
    const flags = FRAME_FLAG.WANT_RECEIPT | (isMarked ? FRAME_FLAG.MARKED : 0)
    const prefix = isMarked ? batchPrefix(batchKey(source, this.#id as string), 0) : NOTHING
    const first = head.length === 0 ? prefix : Buffer.concat([prefix, head])
    if (!offer(flags, token, first, first.length, data, start, start + missing)) return start
    expect(token, this)
    const number = ++this.#batchCount
    this.#sent.push({ number, id: this.#id, token, sentMs: nowMs(), receipt: undefined })
    this.#size = 0
    this.#bodyBytes = 0
    return start + missing
  }

  #keep(data: Uint8Array, start: number, end: number): void {
    if (this.#body.length < this.#size) {
      const grown = new Uint8Array(this.#size)
      grown.set(this.#body.subarray(0, this.#bodyBytes))
      this.#body = grown
    }
    this.#body.set(data.subarray(start, end), this.#bodyBytes)
    this.#bodyBytes += end - start
  }

  #answer({ number, id }: Batch, receipt: Receipt): string {
    const { epoch, shard } = this.#options
    const { firstSeq, accepted, duplicate, rejected, repeated, isReused } = receipt
    const count = accepted + repeated
    const answer = {
      op: isReused ? 'nack' : 'ack',
      batch: number,
      id,
      ...(isReused ? { code: 'id_reused', message: 'the id was used for another batch' } : {}),
      epoch,
      shard,
      from_seq: count > 0 ? firstSeq : null,
      to_seq: count > 0 ? firstSeq + count - 1 : null,
      accepted,
      duplicate,
      rejected,
      repeated,
    }
    return `${JSON.stringify(answer)}\n`
  }

  #refuse(code: string, message: string): void {
    this.refusal = message
    this.#say({ op: 'error', code, message })
  }

  #say(message: object): void {
    this.#isSocketFull = !this.#options.send(`${JSON.stringify(message)}\n`)
  }
}

function parseLine(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function isId(id: unknown): id is string {
  return typeof id === 'string' && id.length > 0 && id.length <= BATCH_ID_LENGTH_MAX
}
