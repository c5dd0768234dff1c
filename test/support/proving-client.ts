// A subscriber that proves the feed's contract: every sequence is received, declared, or void.
//
// It holds one stream, resumes after cuts and restarts, and fills what was declared as missing. It
// throws on the first message that the protocol does not allow.

import { strict as assert } from 'node:assert'
import { type DataFrame, FeedClient, type Message } from './feed-client.ts'

interface Range {
  epoch: number
  from: number
  to: number
}

export class ProvingClient {
  readonly name: string
  /** Price of each record received, by epoch, then by sequence. */
  readonly received = new Map<number, Map<number, string>>()
  /** Declared as missing, and not filled. */
  gaps: Range[] = []
  /** Taken back by a crash. */
  readonly voids: Range[] = []
  /** The first record that it was promised. */
  start: { epoch: number; seq: number } | undefined
  epoch = 0
  next = 0
  gapCount = 0
  fillCount = 0
  readonly #subscribe: Record<string, unknown>
  #client: FeedClient | undefined
  #taken = 0
  #stream = 0
  #filling: Range | undefined

  constructor(name: string, subscribe: Record<string, unknown>) {
    this.name = name
    this.#subscribe = subscribe
  }

  get isConnected(): boolean {
    return this.#client !== undefined
  }

  /** Connects, and goes on where it stopped. */
  async connect(url: string): Promise<void> {
    const client = await FeedClient.open(url, 'tickd.v1.json')
    this.#client = client
    this.#taken = 0
    const { start, epoch, next: seq } = this
    const from = start === undefined ? 'live' : { epoch, seq }
    const ack = await client.ask({ op: 'subscribe', ...this.#subscribe, from })
    assert.equal(ack.op, 'ack', `${this.name}: ${JSON.stringify(ack)}`)
  }

  /** Stops in the midst of whatever comes. */
  cut(): void {
    this.take()
    this.#client?.close()
    this.#client = undefined
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
    this.#filling = gap
    this.fillCount++
    this.#client?.send({ op: 'fill', stream: this.#stream, ...gap })
  }

  /** Looks at what has come. */
  take(): void {
    const { all } = this.#client ?? { all: [] }
    for (; this.#taken < all.length; this.#taken++) {
      const message = all[this.#taken] as Message | DataFrame
      if ('op' in message) this.#control(message)
      else this.#data(message)
    }
  }

  #control(message: Message): void {
    const { op, stream } = message
    if (op === 'ack' && message.channel !== undefined) this.#acknowledged(message)
    else if (op === 'gap') this.#gap(message)
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

  #data({ epoch, firstSeq, records }: DataFrame): void {
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
