// A subscriber that proves the feed's contract: every sequence is received, declared, or void.
//
// It holds one stream, resumes after cuts and restarts, and fills what was declared as missing.
// When it asks for other symbols, what it had of the stream before is kept as a leg. It throws on
// the first message that the protocol does not allow.

import { strict as assert } from 'node:assert'
import { type DataFrame, FeedClient, type Message } from './feed-client.ts'

/** The connection ended without a close frame. */
const LOST = 1006

interface Range {
  epoch: number
  from: number
  to: number
}

interface Place {
  epoch: number
  seq: number
}

/** What it had of one stream. */
export interface Leg {
  readonly symbols: readonly string[]
  readonly received: Map<number, Map<number, string>>
  /** Declared as missing, and not filled. */
  readonly gaps: readonly Range[]
  readonly start: Place | undefined
  /** What came next belonged to another stream; undefined = it goes on. */
  readonly end: Place | undefined
  readonly images: readonly ImageRecord[]
}

/** The newest record of a symbol, as of just before a place. */
export interface ImageRecord extends Place {
  readonly symbol: string
  readonly value: string
}

export class ProvingClient {
  readonly name: string
  /** Of streams that it has left by an update. */
  readonly former: Leg[] = []
  /** Price of each record received, by epoch, then by sequence. */
  received = new Map<number, Map<number, string>>()
  /** Declared as missing, and not filled. */
  gaps: Range[] = []
  /** Taken back by a crash. */
  readonly voids: Range[] = []
  /** The first record that it was promised. */
  start: Place | undefined
  epoch = 0
  next = 0
  gapCount = 0
  fillCount = 0
  /** Times that it was closed for reading too slowly. */
  closedCount = 0
  readonly #subscribe: Record<string, unknown>
  #symbols: readonly string[]
  #images: ImageRecord[] = []
  /** Records of an image that are still to come. */
  #imageLeft = 0
  #isReplaying = false
  /** Asked for, and not yet granted. */
  #wanted: readonly string[] | undefined
  #client: FeedClient | undefined
  #taken = 0
  #stream = 0
  #filling: Range | undefined

  constructor(name: string, subscribe: Record<string, unknown>) {
    this.name = name
    this.#subscribe = subscribe
    this.#symbols = (subscribe.symbols ?? ['*']) as string[]
  }

  /** Of all streams that it has had, the present one last. */
  get legs(): Leg[] {
    return [...this.former, this.#leg(undefined)]
  }

  get isConnected(): boolean {
    return this.#client !== undefined
  }

  /** What comes is of now. */
  get isLive(): boolean {
    return this.#stream !== 0 && !this.#isReplaying
  }

  /** Connects, and goes on where it stopped. */
  async connect(url: string): Promise<void> {
    const client = await FeedClient.open(url, 'tickd.v1.json')
    this.#client = client
    this.#taken = 0
    const { start, epoch, next: seq } = this
    const from = start === undefined ? 'live' : { epoch, seq }
    this.#isReplaying = start !== undefined
    const symbols = this.#symbols
    const ack = await client.ask({ op: 'subscribe', ...this.#subscribe, symbols, from })
    assert.equal(ack.op, 'ack', `${this.name}: ${JSON.stringify(ack)}`)
  }

  /** Stops in the midst of whatever comes. */
  cut(): void {
    this.take()
    this.#client?.close()
    this.#disconnected()
  }

  #disconnected(): void {
    this.#client = undefined
    this.#wanted = undefined
    this.#imageLeft = 0
    // Its id was good for that connection: nothing is asked for before the next ack.
    this.#stream = 0
    // What came of a fill that was cut off comes again.
    const { epoch, from, to } = this.#filling ?? { epoch: 0, from: 0, to: -1 }
    for (let seq = from; seq <= to; seq++) this.#of(epoch).delete(seq)
    this.#filling = undefined
  }

  pause(): void {
    this.#client?.pause()
  }

  resume(): void {
    this.#client?.resume()
  }

  /** Asks for the oldest gap, if it has a stream and none is asked for. */
  fill(): void {
    const gap = this.gaps[0]
    if (gap === undefined || this.#filling !== undefined || this.#stream === 0) return
    if (this.#wanted !== undefined) return
    this.#filling = gap
    this.fillCount++
    this.#client?.send({ op: 'fill', stream: this.#stream, ...gap })
  }

  /** Asks for other symbols, if that is possible now. */
  update(symbols: readonly string[]): void {
    const isBusy = this.#filling !== undefined || this.#isReplaying || this.#wanted !== undefined
    if (isBusy || this.#stream === 0) return
    const add = symbols.filter((symbol) => !this.#symbols.includes(symbol))
    const remove = this.#symbols.filter((symbol) => !symbols.includes(symbol))
    if (add.length + remove.length === 0) return
    this.#wanted = symbols
    const change = { ...(add.length > 0 ? { add } : {}), ...(remove.length > 0 ? { remove } : {}) }
    this.#client?.send({ op: 'update', stream: this.#stream, ...change })
  }

  /** Looks at what has come. */
  take(): void {
    const { all } = this.#client ?? { all: [] }
    for (; this.#taken < all.length; this.#taken++) {
      const message = all[this.#taken] as Message | DataFrame
      if ('op' in message) this.#control(message)
      else this.#data(message)
    }
    if (this.#client?.closed !== undefined) this.#closed(this.#client.closed)
  }

  /** By the server: all before the last sequence that it was sent has come. */
  #closed({ code, reason }: { code: number; reason: string }): void {
    // Without a word: the server was killed. Whoever did it cuts this end, too.
    if (code === LOST) return
    this.#equal([code, this.#subscribe.slow].join(), '4008,close', 'it may be closed')
    const last = JSON.parse(reason)
    this.#equal(last.stream, this.#stream, 'it is closed for its stream')
    this.#equal(last.last_seq, this.next - 1, 'it is told the last that it was sent')
    this.closedCount++
    this.#disconnected()
  }

  #control(message: Message): void {
    const { op, stream } = message
    if (op === 'ack' && message.was !== undefined) this.#updated(message)
    else if (op === 'ack' && message.channel !== undefined) this.#acknowledged(message)
    else if (op === 'snapshot') {
      this.#equal(message.next_seq, this.next, 'an image stands where the stream does')
      this.#imageLeft = message.count as number
    } else if (op === 'gap') this.#gap(message)
    else if (op === 'epoch') {
      this.epoch = message.epoch as number
      this.next = message.next_seq as number
    } else if (op === 'replay_completed' && message.from !== undefined) {
      this.gaps = this.gaps.filter((gap) => gap !== this.#filling)
      this.#filling = undefined
    } else if (op === 'heartbeat') {
      const next = (message.streams as Record<string, number>)[this.#stream]
      if (next !== undefined) this.#equal(next, this.next, 'the heartbeat knows where we are')
    } else if (op === 'error') assert.fail(`${this.name}: ${JSON.stringify(message)}`)
    if (op === 'replay_completed' && stream === this.#stream && message.from === undefined) {
      this.#isReplaying = false
      this.#equal(message.next_seq, this.next, 'a replay ends where what is live begins')
    }
  }

  #acknowledged({ stream, epoch, next_seq: next }: Message): void {
    this.#stream = stream as number
    if (this.start === undefined) {
      this.start = { epoch: epoch as number, seq: next as number }
      this.epoch = epoch as number
      this.next = next as number
    }
    this.#equal(next, this.next, 'the stream goes on where it was asked to')
  }

  #updated({ stream, epoch, from_seq: seq, was }: Message): void {
    const { stream: old, next_seq: end } = was as { stream: number; next_seq: number }
    this.#equal(old, this.#stream, 'an update is of the stream at hand')
    this.#equal(end, this.next, 'the old stream is complete')
    this.#equal(epoch, this.epoch, 'an update is of the epoch at hand')
    this.former.push(this.#leg({ epoch: this.epoch, seq: this.next }))
    this.received = new Map()
    this.gaps = []
    this.#images = []
    this.#symbols = this.#wanted ?? assert.fail('an update that nobody asked for')
    this.#wanted = undefined
    this.#stream = stream as number
    this.next = seq as number
    this.start = { epoch: this.epoch, seq: this.next }
  }

  #leg(end: Place | undefined): Leg {
    const { received, gaps, start } = this
    return { symbols: this.#symbols, received, gaps, start, end, images: this.#images }
  }

  #gap({ cause, epoch = this.epoch, from, to }: Message): void {
    const range = { epoch: epoch as number, from: from as number, to: to as number }
    this.gapCount++
    if (cause === 'restart') {
      this.voids.push(range)
      for (let seq = range.from; seq <= range.to; seq++) this.#of(range.epoch).delete(seq)
      return
    }
    this.#equal(range.from, this.next, 'a gap begins where the records ended')
    this.gaps.push(range)
    this.next = range.to + 1
  }

  #image({ epoch, firstSeq, records }: DataFrame): void {
    this.#equal(epoch, this.epoch, 'an image is of the epoch at hand')
    this.#equal(firstSeq, this.next, 'an image is of where the stream stands')
    this.#imageLeft -= records.length
    assert.ok(this.#imageLeft >= 0, `${this.name}: an image is as long as it was said to be`)
    for (const { symbol, price, bid_price: bid, flags } of records) {
      assert.ok((flags as string[]).includes('snapshot'), `${this.name}: an image is marked`)
      const value = String(price ?? bid)
      this.#images.push({ epoch, seq: firstSeq, symbol: String(symbol), value })
    }
  }

  #data(frame: DataFrame): void {
    const { stream, epoch, firstSeq, records } = frame
    this.#equal(stream, this.#stream, 'a frame is of the stream at hand')
    if (this.#imageLeft > 0) {
      this.#image(frame)
      return
    }
    const filling = this.#filling
    const isFill = filling?.epoch === epoch && firstSeq >= filling.from && firstSeq <= filling.to
    if (!isFill) {
      this.#equal(epoch, this.epoch, 'a frame is of the epoch at hand')
      this.#equal(firstSeq, this.next, 'a frame goes on where the last one ended')
      this.next += records.length
    }
    records.forEach(({ price, bid_price: bid }, i) => {
      const known = this.#of(epoch)
      assert.ok(!known.has(firstSeq + i), `${this.name}: ${epoch}/${firstSeq + i} came twice`)
      known.set(firstSeq + i, String(price ?? bid))
    })
  }

  #of(epoch: number): Map<number, string> {
    const known = this.received.get(epoch) ?? new Map<number, string>()
    this.received.set(epoch, known)
    return known
  }

  #equal(actual: unknown, expected: unknown, what: string): void {
    assert.equal(actual, expected, `${this.name}: ${what}`)
  }
}
