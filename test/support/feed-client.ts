// A feed subscriber for tests: keeps what came, and waits for what is to come.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { decode } from '@msgpack/msgpack'
import { ByteBuffer } from 'flatbuffers'
import { WebSocket } from 'ws'
import { TickBatch } from '../../src/tick/batch.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'

const WAIT_MS = 10_000

export interface DataFrame {
  stream: number
  epoch: number
  firstSeq: number
  count: number
  /** JSON and MessagePack. */
  records: Record<string, unknown>[]
  /** FlatBuffers. */
  batch: TickBatch | undefined
}

export type Message = Record<string, unknown> & { op: string }

export class FeedClient {
  readonly ws: WebSocket
  readonly controls: Message[] = []
  readonly frames: DataFrame[] = []
  /** Controls and frames in the order in which they came. */
  readonly all: (Message | DataFrame)[] = []
  closed: { code: number; reason: string } | undefined
  #changed: (() => void) | undefined

  constructor(url: string, protocols: string[] = [], headers: Record<string, string> = {}) {
    this.ws = new WebSocket(url, protocols, { headers })
    this.ws.on('message', (data: Buffer, isBinary) => this.#take(data, isBinary))
    this.ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
      this.#changed?.()
    })
    this.ws.on('error', () => {})
  }

  static async open(url: string, ...protocols: string[]): Promise<FeedClient> {
    const client = new FeedClient(url, protocols)
    await once(client.ws, 'open')
    return client
  }

  send(message: object | string): void {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** Sends, and returns the ack or error with the same id. */
  async ask(message: Record<string, unknown>): Promise<Message> {
    const id = `q${Math.random()}`
    this.send({ id, ...message })
    return this.control((m) => m.id === (message.id ?? id))
  }

  async subscribe(message: Record<string, unknown>): Promise<number> {
    const ack = await this.ask({ op: 'subscribe', ...message })
    if (ack.op !== 'ack') throw new Error(JSON.stringify(ack))
    return ack.stream as number
  }

  /** The first control message, past or to come, that passes the test. */
  async control(test: (message: Message) => boolean): Promise<Message> {
    await this.until(() => this.controls.some(test), 'a control message')
    return this.controls.find(test) as Message
  }

  op(op: string): Promise<Message> {
    return this.control((message) => message.op === op)
  }

  recordCount(stream: number): number {
    return this.frames.reduce((sum, f) => sum + (f.stream === stream ? f.count : 0), 0)
  }

  async until(test: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + WAIT_MS
    while (!test()) {
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) throw new Error(`waited in vain for ${what}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(leftMs, 20))
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Stops reading: the kernel's buffers fill, then the server's. */
  pause(): void {
    socketOf(this.ws).pause()
  }

  resume(): void {
    socketOf(this.ws).resume()
  }

  close(): void {
    this.ws.terminate()
  }

  #take(data: Buffer, isBinary: boolean): void {
    const message = isBinary ? readFrame(data, this.ws.protocol) : JSON.parse(data.toString())
    if (!isBinary && message.op !== 'data') {
      this.controls.push(message)
      this.all.push(message)
    } else {
      const frame = isBinary ? message : readJsonFrame(message)
      this.frames.push(frame)
      this.all.push(frame)
    }
    this.#changed?.()
  }
}

function socketOf(ws: WebSocket): Socket {
  return (ws as unknown as { _socket: Socket })._socket
}

function readJsonFrame(message: Record<string, unknown>): DataFrame {
  const records = message.records as Record<string, unknown>[]
  return {
    stream: message.stream as number,
    epoch: message.epoch as number,
    firstSeq: message.first_seq as number,
    count: records.length,
    records,
    batch: undefined,
  }
}

function readFrame(data: Buffer, protocol: string): DataFrame {
  if (protocol === 'tickd.v1.fb') return readFlatbuffer(data)
  const { s, e, q, t } = decode(data) as {
    s: number
    e: number
    q: number
    t: DataFrame['records']
  }
  return { stream: s, epoch: e, firstSeq: q, count: t.length, records: t, batch: undefined }
}

/** As code generated from schema/tick.fbs would read it. */
export function readFlatbuffer(data: Uint8Array): DataFrame {
  const buffer = new ByteBuffer(new Uint8Array(data))
  const table = buffer.readInt32(buffer.position()) + buffer.position()
  const field = (index: number) => buffer.__offset(table, 4 + 2 * index)
  const ticks = field(3)
  const count = ticks === 0 ? 0 : buffer.__vector_len(table + ticks)
  const batch = new TickBatch(count)
  if (ticks !== 0) {
    const start = buffer.__vector(table + ticks)
    batch.bytes.set(buffer.bytes().subarray(start, start + count * TICK_BYTES))
  }
  batch.count = count
  return {
    stream: buffer.readUint32(table + field(0)),
    epoch: Number(buffer.readUint64(table + field(1))),
    firstSeq: Number(buffer.readUint64(table + field(2))),
    count,
    records: [],
    batch,
  }
}
