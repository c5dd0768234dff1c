// One WebSocket connection and its subscriptions: state, message allowance, control messages.
//
// What is sent of a stream, and when a subscriber has fallen behind, is in delivery.ts.

import { FEED_MESSAGES_BURST, FEED_MESSAGES_PER_SECOND, FEED_STRIKES_MAX } from '../../limits.ts'
import { Pass } from '../access/pass.ts'
import type { FeedSocket } from '../server.ts'
import type { Account } from './account.ts'
import type { SlowPolicy } from './channels.ts'
import { ENCODINGS, type Encoding, type Protocol } from './encode.ts'
import { CLOSE_CODES } from './errors.ts'
import { Outbox } from './outbox.ts'
import { QueueAge } from './queue-age.ts'
import type { Replay } from './replay.ts'
import type { Stream, StreamKey } from './stream.ts'

/** Of a WebSocket message, at most. */
const FRAME_HEADER_BYTES = 10

export interface Subscription {
  readonly subscriber: Subscriber
  readonly stream: Stream
  readonly slow: SlowPolicy
  /** As the client wrote them: what an update adds to and takes from. */
  symbols: readonly string[]
  /** First sequence skipped and not yet declared; 0 = not behind. */
  behindFrom: number
  /** conflate: slots (see newest.ts) whose newest record is owed. */
  readonly owed: Set<number> | undefined
  /**
   * Sequences that it is owed: from the first (0 = not yet: a replay comes first), before the end
   * (0 = it goes on).
   */
  firstSeq: number
  endSeq: number
  /** What comes before its live records. */
  replay: Replay | undefined
  /** Records of images and replays; of all records, those sent and those not. */
  imaged: number
  delivered: number
  skipped: number
}

export function newSubscription(
  subscriber: Subscriber,
  stream: Stream,
  slow: SlowPolicy,
  symbols: readonly string[] = stream.selection.patterns,
): Subscription {
  return {
    subscriber,
    stream,
    slow,
    symbols,
    behindFrom: 0,
    owed: slow === 'conflate' ? new Set() : undefined,
    firstSeq: stream.nextSeq,
    endSeq: 0,
    replay: undefined,
    imaged: 0,
    delivered: 0,
    skipped: 0,
  }
}

/** A stream as it was when a subscription left it for another one. */
export interface FormerStream {
  readonly key: StreamKey
  readonly endSeq: number
}

export class Subscriber {
  readonly session: string
  readonly protocol: Protocol
  readonly encoding: Encoding
  /** By stream id. */
  readonly subscriptions = new Map<number, Subscription>()
  /** Streams that it left by an update, the newest last: what was missed of them can be filled. */
  readonly former = new Map<number, FormerStream>()
  /** Sum of the subscriptions it no longer has. */
  readonly past: Account = { published: 0, delivered: 0, skipped: 0 }
  /** What it may ask for. */
  readonly pass: Pass
  /** Parcels to send. Empty between calls of the feed. */
  readonly outbox = new Outbox()
  readonly queue = new QueueAge()
  /** It has been told that its queue is long. */
  isWarned = false
  readonly #socket: FeedSocket
  readonly #controlBytesMax: number
  #allowance = FEED_MESSAGES_BURST
  #allowanceAtMs: number
  #strikeCount = 0

  /** `controlBytesMax`: queued bytes at which even control messages are too much. */
  constructor(
    socket: FeedSocket,
    protocol: Protocol,
    session: string,
    nowMs: number,
    controlBytesMax: number,
    pass = Pass.open,
  ) {
    this.#socket = socket
    this.protocol = protocol
    this.encoding = ENCODINGS[protocol]
    this.session = session
    this.#allowanceAtMs = nowMs
    this.#controlBytesMax = controlBytesMax
    this.pass = pass
  }

  bufferedBytes(): number {
    return this.#socket.bufferedBytes()
  }

  /** False when the socket is gone or its hard limit is reached. */
  sendData(bytes: Uint8Array, nowMs: number): boolean {
    this.queue.sent(bytes.length + FRAME_HEADER_BYTES, nowMs)
    return this.#socket.send(bytes, this.encoding.isBinary)
  }

  /** What `work` sends goes to the kernel in one go. */
  cork(work: () => void): void {
    this.#socket.cork(work)
  }

  /** A client that asks and never reads is closed. */
  sendControl(json: string): void {
    const fits = this.#socket.bufferedBytes() + json.length <= this.#controlBytesMax
    if (!fits || !this.#socket.send(json, false)) this.close('slow', '')
  }

  close(why: keyof typeof CLOSE_CODES, reason: string): void {
    this.#socket.end(CLOSE_CODES[why].code, reason)
  }

  /** Milliseconds to wait before the next message is welcome; 0 = it is. */
  takeAllowance(nowMs: number): number {
    const gained = ((nowMs - this.#allowanceAtMs) / 1000) * FEED_MESSAGES_PER_SECOND
    this.#allowance = Math.min(FEED_MESSAGES_BURST, this.#allowance + gained)
    this.#allowanceAtMs = nowMs
    if (this.#allowance < 1) {
      return Math.ceil(((1 - this.#allowance) / FEED_MESSAGES_PER_SECOND) * 1000)
    }
    this.#allowance -= 1
    return 0
  }

  /** A refused message. True when it was one too many. */
  strike(): boolean {
    return ++this.#strikeCount >= FEED_STRIKES_MAX
  }

  forgive(): void {
    this.#strikeCount = 0
  }
}
