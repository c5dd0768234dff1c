// POST /v1/ticks: bodies onto the frame rings, receipts back, an answer once all is durable.
//
//   read body → put frames on the ring as it has room → collect receipts → wait for fsync → answer
//
// Bounded: bytes of bodies, requests, frames without a receipt, and each wait. A request that
// cannot begin is refused with 503 and nothing of it was taken; one that is stuck half-way is told
// what was accepted. Must happen before the answer: the journal is durable up to its last record,
// and up to those of which it sent a duplicate (they lie before its receipts' sequences).
//
// A body with an Idempotency-Key is a batch with an id, each of its frames a part of it: decode
// knows parts that it has published before, and their receipts name the records of the first time.

import { randomInt } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import {
  BATCH_ID_LENGTH_MAX,
  PUSH_BODIES_MAX,
  PUSH_DURABLE_MS_MAX,
  PUSH_FRAMES_OUTSTANDING_MAX,
  PUSH_REQUESTS_MAX,
  PUSH_STALL_MS_MAX,
} from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterSet } from '../../ops/counters.ts'
import { batchKey, batchPrefix } from '../../ring/batch-mark.ts'
import type { FeedbackHandler, FeedbackReceiver, Receipt } from '../../ring/feedback.ts'
import { FRAME_FLAG, type FrameMeta, type FrameRingProducer } from '../../ring/frame-ring.ts'
import type { HttpReply, HttpRequest } from '../server.ts'
import { sendBusy, sendError, sendJson } from './answers.ts'
import { frameEnd, isFault, PUSH_CONTENT_TYPES, type PushBody, readPushBody } from './push-body.ts'

/** A shard's way in. */
export interface PushLane {
  readonly producer: FrameRingProducer
  readonly feedback: FeedbackReceiver
  /** Next sequence after the durable ones. */
  readonly durable: () => number
  readonly epoch: number
}

/** A source of type http in the configuration. */
export interface PushSource {
  readonly name: string
  /** In the configuration's list. */
  readonly index: number
  readonly shard: number
  /** Its `source` counters: written here, as this is where its frames go on the ring. */
  readonly counters: CounterSet<CounterName<'source'>>
}

export interface PushOptions {
  /** By shard. */
  readonly lanes: readonly PushLane[]
  /** The first one is the default. */
  readonly sources: readonly PushSource[]
  readonly bodyBytesMax: number
  readonly clock: Clock
}

const MARKED = FRAME_FLAG.WANT_RECEIPT | FRAME_FLAG.MARKED
const NO_PREFIX = new Uint8Array(0)

interface Job {
  readonly reply: HttpReply
  readonly lane: PushLane
  readonly source: PushSource
  readonly body: PushBody
  /** Of its id; undefined where it has none. */
  readonly key: Uint8Array | undefined
  /** Frames put on the ring: the number of the next part. */
  partCount: number
  /** Bytes put on the ring. */
  sentBytes: number
  framesOutstanding: number
  accepted: number
  duplicate: number
  rejected: number
  /** Of the duplicate: records that an earlier try has stored. */
  repeated: number
  /** The id stands for another body. */
  isReused: boolean
  firstSeq: number
  /** All of its records, and those they repeat, lie below it. */
  endSeq: number
  lastSeq: number
  /** Monotonic time of the last frame put on the ring. */
  movedAtMs: number
}

export class Push implements FeedbackHandler {
  readonly #options: PushOptions
  readonly #jobs = new Set<Job>()
  /** Frames without a receipt, by token. */
  readonly #outstanding = new Map<number, Job>()
  readonly #meta: FrameMeta = {
    source: 0,
    format: 0,
    flags: FRAME_FLAG.WANT_RECEIPT,
    // Receipts for an earlier life of this thread may still come: they must find no token of ours.
    token: randomInt(2 ** 32),
    recvSec: 0,
    recvNsec: 0,
  }
  #reading = 0
  #reservedBytes = 0
  #isStopping = false

  constructor(options: PushOptions) {
    this.#options = options
  }

  /** A request has come. Its body is read, then queued. */
  accept(request: HttpRequest, reply: HttpReply): void {
    const { bodyBytesMax, sources } = this.#options
    const name = request.query.get('source')
    const source = name === null ? sources[0] : sources.find((one) => one.name === name)
    if (source === undefined) {
      sendError(reply, 404, 'unknown_source', 'no source of type http has this name')
      return
    }
    if (!PUSH_CONTENT_TYPES.includes(request.contentType)) {
      const message = `content-type is one of ${PUSH_CONTENT_TYPES.join(', ')}`
      sendError(reply, 415, 'unsupported_type', message)
      return
    }
    if (request.idempotencyKey.length > BATCH_ID_LENGTH_MAX) {
      const message = `an idempotency-key has at most ${BATCH_ID_LENGTH_MAX} characters`
      sendError(reply, 400, 'bad_key', message)
      return
    }
    if (request.contentLengthBytes > bodyBytesMax) {
      sendError(reply, 413, 'body_too_large', `at most ${bodyBytesMax} bytes a request`)
      return
    }
    const size = request.contentLengthBytes < 0 ? bodyBytesMax : request.contentLengthBytes
    const isFull = this.#reservedBytes + size > bodyBytesMax * PUSH_BODIES_MAX
    if (isFull || this.#reading + this.#jobs.size >= PUSH_REQUESTS_MAX || this.#isStopping) {
      sendBusy(reply, 'busy', 'too much is under way; nothing of this was taken')
      return
    }
    this.#read(request, reply, source, size)
  }

  /** Moves every request on. Returns the work done. */
  doWork(): number {
    let work = 0
    for (const lane of this.#options.lanes) work += lane.feedback.drain(this)
    for (const job of this.#jobs) work += this.#advance(job)
    return work
  }

  /** Takes no more requests; true when those under way are answered. */
  drain(): boolean {
    this.#isStopping = true
    return this.#jobs.size === 0 && this.#reading === 0
  }

  onReceipt(receipt: Receipt): void {
    const job = this.#outstanding.get(receipt.token)
    // A receipt for a request of an earlier life of this thread.
    if (job === undefined) return
    this.#outstanding.delete(receipt.token)
    job.framesOutstanding--
    job.accepted += receipt.accepted
    job.duplicate += receipt.duplicate
    job.rejected += receipt.rejected
    job.repeated += receipt.repeated
    job.isReused ||= receipt.isReused
    // Accepted now, or by an earlier try that may not be durable yet either.
    const count = receipt.accepted + receipt.repeated
    job.endSeq = Math.max(job.endSeq, receipt.firstSeq + count)
    if (count === 0) return
    if (job.firstSeq < 0 || receipt.firstSeq < job.firstSeq) job.firstSeq = receipt.firstSeq
    job.lastSeq = Math.max(job.lastSeq, receipt.firstSeq + count - 1)
  }

  /** Pushed frames have no books to resynchronise. */
  onResync(): void {}

  #read(request: HttpRequest, reply: HttpReply, source: PushSource, size: number): void {
    this.#reading++
    this.#reservedBytes += size
    const stopReading = () => {
      this.#reading--
      this.#reservedBytes -= size
    }
    reply.onAbort(stopReading)
    reply.readBody(this.#options.bodyBytesMax, (bytes) => {
      stopReading()
      reply.onAbort(() => {})
      if (bytes === undefined) {
        const message = `at most ${this.#options.bodyBytesMax} bytes a request`
        sendError(reply, 413, 'body_too_large', message)
        return
      }
      const body = readPushBody(request.contentType, bytes)
      if (isFault(body)) sendError(reply, body.status, 'bad_body', body.message)
      else this.#queue(reply, source, body, request.idempotencyKey)
    })
  }

  #queue(reply: HttpReply, source: PushSource, body: PushBody, id: string): void {
    this.#reservedBytes += body.bytes.length
    const job: Job = {
      reply,
      lane: this.#options.lanes[source.shard] as PushLane,
      source,
      body,
      key: id === '' ? undefined : batchKey(source.name, id),
      partCount: 0,
      sentBytes: 0,
      framesOutstanding: 0,
      accepted: 0,
      duplicate: 0,
      rejected: 0,
      repeated: 0,
      isReused: false,
      firstSeq: -1,
      endSeq: 0,
      lastSeq: -1,
      movedAtMs: this.#options.clock.monoMs(),
    }
    this.#jobs.add(job)
    this.#advance(job)
  }

  #advance(job: Job): number {
    const sentFrames = this.#send(job)
    const waitedMs = this.#options.clock.monoMs() - job.movedAtMs
    const isSent = job.sentBytes === job.body.bytes.length
    // A client that has gone gets no answer; what it sent so far is taken, the rest is not.
    if (job.reply.done) this.#finish(job)
    else if (job.framesOutstanding === 0 && isSent && job.lane.durable() >= job.endSeq) {
      this.#answer(job)
      this.#finish(job)
    } else if (job.framesOutstanding === 0 && !isSent && waitedMs >= PUSH_STALL_MS_MAX) {
      this.#refuseRest(job)
    } else if (waitedMs >= PUSH_DURABLE_MS_MAX) {
      const message = 'the journal has not confirmed in time; the records may be stored or not'
      sendError(job.reply, 504, 'not_confirmed', message)
      this.#finish(job)
    }
    return sentFrames
  }

  /** Puts frames on the ring while it has room. */
  #send(job: Job): number {
    const { body, lane, source } = job
    let frames = 0
    while (job.sentBytes < body.bytes.length && !job.reply.done) {
      if (this.#outstanding.size >= PUSH_FRAMES_OUTSTANDING_MAX) break
      const end = frameEnd(body, job.sentBytes)
      const meta = this.#meta
      const { clock } = this.#options
      clock.read()
      meta.source = source.index
      meta.format = body.format
      meta.token = this.#freeToken()
      meta.recvSec = clock.sec
      meta.recvNsec = clock.nsec
      meta.flags = job.key === undefined ? FRAME_FLAG.WANT_RECEIPT : MARKED
      const prefix = job.key === undefined ? NO_PREFIX : batchPrefix(job.key, job.partCount)
      const { bytes } = body
      if (!lane.producer.tryWrite(meta, prefix, 0, prefix.length, bytes, job.sentBytes, end)) break
      job.partCount++
      source.counters.add('frames')
      source.counters.add('bytes', end - job.sentBytes)
      this.#outstanding.set(meta.token, job)
      job.framesOutstanding++
      job.sentBytes = end
      job.movedAtMs = clock.monoMs()
      frames++
    }
    return frames
  }

  #freeToken(): number {
    let token = this.#meta.token
    do token = (token + 1) >>> 0
    while (this.#outstanding.has(token))
    return token
  }

  #answer(job: Job): void {
    const result = this.#result(job)
    if (!job.isReused) {
      sendJson(job.reply, result)
      return
    }
    const message = 'the idempotency-key was used for another body; what differs was not taken'
    sendJson(job.reply, { error: { code: 'key_reused', message }, ...result }, 409)
  }

  #refuseRest(job: Job): void {
    const { reply, sentBytes } = job
    if (sentBytes === 0) sendBusy(reply, 'busy', 'the way in is full; nothing of this was taken')
    else {
      const message = `the way in is full; the first ${sentBytes} bytes were taken`
      const headers = { 'retry-after': '1' }
      const body = { error: { code: 'busy', message }, ...this.#result(job) }
      const text = JSON.stringify(body)
      reply.send({ status: 503, contentType: 'application/json', body: text, headers })
    }
    this.#finish(job)
  }

  #result(job: Job) {
    const hasRecords = job.accepted + job.repeated > 0
    return {
      accepted: job.accepted,
      duplicate: job.duplicate,
      rejected: job.rejected,
      repeated: job.repeated,
      first_seq: hasRecords ? job.firstSeq : null,
      last_seq: hasRecords ? job.lastSeq : null,
      epoch: job.lane.epoch,
      shard: job.source.shard,
    }
  }

  /** Receipts still to come find no job, and are passed over. */
  #finish(job: Job): void {
    this.#jobs.delete(job)
    this.#reservedBytes -= job.body.bytes.length
    if (job.framesOutstanding === 0) return
    for (const [token, owner] of this.#outstanding) {
      if (owner === job) this.#outstanding.delete(token)
    }
  }
}
