// A subscriber that keeps what it receives, on any sub-protocol, in normalised form.

import { decode } from '@msgpack/msgpack'
import WebSocket from 'ws'
import { TickBatch } from '../../src/tick/batch.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { tickToObject } from '../../src/tick/json.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'

export type Protocol = 'tickd.v1.fb' | 'tickd.v1.msgpack' | 'tickd.v1.json'

/** A normalised record, as `decode` prints it and the text sub-protocols send it. */
export interface FeedRecord {
  type: string
  venue: string
  symbol: string
  ts_event: string
  flags: unknown
  [field: string]: unknown
}

interface Batch {
  stream: number
  firstSeq: number
  records: FeedRecord[]
}

interface Named {
  id: number
  venue: string
  symbol: string
}

/** The fields of all messages that are read here; which are there depends on `op`. */
interface ServerMessage {
  op: string
  stream: number
  channel: string
  next_seq: number
  first_seq: number
  from: number
  to: number
  records: FeedRecord[]
  instruments: Named[]
  symbols: { instruments: Named[] }[]
}

const INSTRUMENTS = 1024

export class RecordingSubscriber {
  readonly protocol: Protocol
  /** Frames whose first sequence was not the next one. */
  holes = 0
  /** Sequences that the server said it did not send. */
  gaps = 0
  readonly #socket: WebSocket
  readonly #channels = new Map<string, { stream: number; next: number; records: FeedRecord[] }>()
  readonly #instruments = new InstrumentTable(InstrumentTable.create(INSTRUMENTS), INSTRUMENTS)
  /** The server's instrument id -> ours. */
  readonly #ids = new Map<number, number>()

  private constructor(socket: WebSocket, protocol: Protocol) {
    this.#socket = socket
    this.protocol = protocol
  }

  /** Connects and subscribes to all symbols of each channel; resolves when all are acknowledged. */
  static async open(
    url: string,
    protocol: Protocol,
    channels: readonly string[],
    request: Record<string, unknown> = {},
  ): Promise<RecordingSubscriber> {
    const socket = new WebSocket(url, protocol, { perMessageDeflate: false })
    socket.binaryType = 'nodebuffer'
    const subscriber = new RecordingSubscriber(socket, protocol)
    const acknowledged = Promise.withResolvers<void>()
    socket.on('error', acknowledged.reject)
    socket.on('open', () => {
      for (const channel of channels) {
        const message = { op: 'subscribe', id: channel, channel, symbols: ['*'], ...request }
        socket.send(JSON.stringify(message))
      }
    })
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) return subscriber.#onBatch(subscriber.#decode(data))
      const message = JSON.parse(data.toString())
      if (message.op === 'error') acknowledged.reject(new Error(data.toString()))
      subscriber.#onControl(message)
      if (subscriber.#channels.size === channels.length) acknowledged.resolve()
    })
    await acknowledged.promise
    return subscriber
  }

  records(channel: string): readonly FeedRecord[] {
    return this.#channels.get(channel)?.records ?? []
  }

  /** Waits until `count` records have come, or were declared as gaps. */
  async until(count: number, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      let received = this.gaps
      for (const { records } of this.#channels.values()) received += records.length
      if (received >= count) return
      if (Date.now() > deadline) {
        throw new Error(`${this.protocol}: ${received} of ${count} records in time`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  close(): void {
    this.#socket.terminate()
  }

  #onControl(message: ServerMessage): void {
    const { op } = message
    if (op === 'ack') {
      const { stream, next_seq: next, channel } = message
      this.#channels.set(channel, { stream, next, records: [] })
      for (const { instruments } of message.symbols) this.#learn(instruments)
    }
    if (op === 'instruments') this.#learn(message.instruments)
    if (op === 'data') {
      const { stream, first_seq: firstSeq, records } = message
      this.#onBatch({ stream, firstSeq, records })
    }
    if (op === 'gap') {
      const { stream, from, to } = message
      this.gaps += to - from + 1
      for (const state of this.#channels.values()) {
        if (state.stream === stream) state.next = to + 1
      }
    }
  }

  #learn(instruments: readonly Named[]): void {
    for (const { id, venue, symbol } of instruments) {
      this.#ids.set(id, this.#instruments.add(venue, symbol))
    }
  }

  #onBatch({ stream, firstSeq, records }: Batch): void {
    for (const state of this.#channels.values()) {
      if (state.stream !== stream) continue
      if (firstSeq !== state.next) this.holes++
      state.next = firstSeq + records.length
      for (const record of records) state.records.push(record)
    }
  }

  #decode(data: Buffer): Batch {
    if (this.protocol === 'tickd.v1.msgpack') {
      const { s, q, t } = decode(data) as { s: number; q: number; t: FeedRecord[] }
      return { stream: s, firstSeq: q, records: t }
    }
    return this.#decodeFlatBuffer(data)
  }

  /** Reads the Batch table of schema/tick.fbs: stream, epoch, first_seq, ticks. */
  #decodeFlatBuffer(data: Buffer): Batch {
    const table = data.readUInt32LE(0)
    const vtable = table - data.readInt32LE(table)
    const field = (slot: number) => table + data.readUInt16LE(vtable + 4 + 2 * slot)
    const vector = field(3) + data.readUInt32LE(field(3))
    const count = data.readUInt32LE(vector)
    const batch = new TickBatch(Math.max(1, count))
    batch.bytes.set(data.subarray(vector + 4, vector + 4 + count * TICK_BYTES))
    batch.count = count
    const records: FeedRecord[] = []
    for (let i = 0; i < count; i++) {
      batch.setInstrument(i, this.#ids.get(batch.instrument(i)) ?? 0)
      records.push(tickToObject(batch, i, this.#instruments) as unknown as FeedRecord)
    }
    const firstSeq = Number(data.readBigUInt64LE(field(2)))
    return { stream: data.readUInt32LE(field(0)), firstSeq, records }
  }
}
