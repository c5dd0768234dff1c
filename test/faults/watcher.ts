// A subscriber that believes nothing: sequences must be dense but for declared gaps, and what is in
// them must be each instrument's trades, one after the other, but for as many as were declared.
//
// It reconnects when the connection is lost; each connection is judged by itself, as streams belong
// to it and to an epoch.

import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { OFFSET, TICK_BYTES } from '../../src/tick/layout.ts'
import { VENUE } from './load.ts'

const RETRY_MS = 40
/** Nothing at all, not even a heartbeat, for so long: the connection is dead. */
const SILENCE_MS = 6000
const FIELD = Object.freeze({ firstSeq: 2, ticks: 3 })

export interface WatcherOptions {
  readonly name: string
  readonly port: number
  readonly protocol: 'tickd.v1.fb' | 'tickd.v1.json'
  readonly onViolation: (text: string) => void
}

interface Named {
  readonly id: number
  readonly symbol: string
}

interface Message {
  readonly op: string
  readonly stream: number
  readonly next_seq: number
  readonly first_seq: number
  readonly from: number
  readonly to: number
  readonly from_seq: number
  readonly to_seq: number
  readonly cause: string
  readonly records: readonly { readonly symbol: string; readonly id: string }[]
  readonly instruments: readonly Named[]
  readonly symbols: readonly { readonly instruments: readonly Named[] }[]
  readonly streams: Readonly<Record<string, number>>
}

/** What one connection has seen. */
interface View {
  stream: number
  nextSeq: number
  /** Records declared as missing; `overrun` ones in journal sequences, so at most so many. */
  declared: number
  missing: number
  /** Last trade of each instrument. */
  readonly last: Map<string, number>
  readonly symbols: Map<number, string>
}

export class Watcher {
  records = 0
  declared = 0
  connections = 0
  /** Monotonic time of the last heartbeat that agreed with us. */
  agreedMs = 0
  readonly #options: WatcherOptions
  #isOver = false
  #isSlow = false
  #socket: WebSocket | undefined
  #heardMs = 0

  constructor(options: WatcherOptions) {
    this.#options = options
  }

  async run(): Promise<void> {
    while (!this.#isOver) {
      await this.#connection()
      await delay(RETRY_MS)
    }
  }

  /** Reads nothing, or goes on. */
  set slow(isSlow: boolean) {
    this.#isSlow = isSlow
    const socket = socketOf(this.#socket)
    this.#heardMs = performance.now()
    if (isSlow) socket?.pause()
    else socket?.resume()
  }

  end(): void {
    this.#isOver = true
    this.#socket?.terminate()
  }

  async #connection(): Promise<void> {
    const { port, protocol } = this.#options
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/feed`, protocol, {
      perMessageDeflate: false,
    })
    this.#socket = socket
    this.#heardMs = performance.now()
    const last = new Map<string, number>()
    const view: View = { stream: -1, nextSeq: 0, declared: 0, missing: 0, last, symbols: new Map() }
    socket.on('error', () => {})
    socket.on('open', () => {
      this.connections++
      const subscribe = { op: 'subscribe', channel: 'trades', symbols: [`${VENUE}:*`], slow: 'gap' }
      socket.send(JSON.stringify(subscribe))
      this.slow = this.#isSlow
    })
    socket.on('message', (data: Buffer, isBinary) => {
      this.#heardMs = performance.now()
      if (isBinary) this.#onFrame(view, data)
      else this.#onMessage(view, JSON.parse(data.toString()) as Message)
    })
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const watch = setInterval(() => {
      if (!this.#isSlow && performance.now() - this.#heardMs > SILENCE_MS) socket.terminate()
    }, RETRY_MS)
    await closed
    clearInterval(watch)
  }

  #onMessage(view: View, message: Message): void {
    switch (message.op) {
      case 'ack':
        view.stream = message.stream
        view.nextSeq = message.next_seq
        for (const { instruments } of message.symbols) learn(view, instruments)
        break
      case 'instruments':
        learn(view, message.instruments)
        break
      case 'data':
        this.#follows(view, message.first_seq, message.records.length)
        for (const { symbol, id } of message.records) this.#trade(view, symbol, Number(id))
        break
      case 'gap':
        this.#onGap(view, message)
        break
      case 'heartbeat':
        this.#onHeartbeat(view, message.streams[String(view.stream)])
        break
      case 'error':
        this.#say(JSON.stringify(message))
    }
  }

  #onGap(view: View, { cause, from, to, from_seq: fromSeq, to_seq: toSeq }: Message): void {
    const count = cause === 'overrun' ? toSeq - fromSeq + 1 : to - from + 1
    if (cause !== 'overrun') this.#follows(view, from, count)
    view.declared += count
    this.declared += count
  }

  #onHeartbeat(view: View, nextSeq: number | undefined): void {
    if (nextSeq === undefined) return
    if (nextSeq === view.nextSeq) this.agreedMs = performance.now()
    else this.#say(`a heartbeat says ${nextSeq} comes next, and ${view.nextSeq} should`)
  }

  #onFrame(view: View, data: Buffer): void {
    const table = data.readUInt32LE(0)
    const vtable = table - data.readInt32LE(table)
    const field = (slot: number) => table + data.readUInt16LE(vtable + 4 + 2 * slot)
    const vector = field(FIELD.ticks) + data.readUInt32LE(field(FIELD.ticks))
    const count = data.readUInt32LE(vector)
    this.#follows(view, Number(data.readBigUInt64LE(field(FIELD.firstSeq))), count)
    const end = vector + 4 + count * TICK_BYTES
    for (let at = vector + 4; at < end; at += TICK_BYTES) {
      const symbol = view.symbols.get(data.readUInt32LE(at + OFFSET.instrument))
      if (symbol === undefined) this.#say('an instrument that was not announced')
      else this.#trade(view, symbol, Number(data.readBigInt64LE(at + OFFSET.p2)))
    }
  }

  #follows(view: View, firstSeq: number, count: number): void {
    if (firstSeq !== view.nextSeq) this.#say(`${firstSeq} came where ${view.nextSeq} should`)
    view.nextSeq = firstSeq + count
  }

  #trade(view: View, symbol: string, id: number): void {
    this.records++
    const last = view.last.get(symbol)
    view.last.set(symbol, id)
    if (last === undefined || id === last + 1) return
    view.missing += id - last - 1
    if (id <= last) this.#say(`trade ${id} of ${symbol} came after ${last}`)
    else if (view.missing > view.declared) {
      const text = `${view.missing} trades did not come, and ${view.declared} were declared`
      this.#say(`${text}; of ${symbol} ${id} came after ${last}`)
    }
  }

  #say(text: string): void {
    this.#options.onViolation(`subscriber ${this.#options.name}: ${text}`)
  }
}

function learn(view: View, instruments: readonly Named[]): void {
  for (const { id, symbol } of instruments) view.symbols.set(id, symbol)
}

function socketOf(ws: WebSocket | undefined): Socket | undefined {
  return (ws as unknown as { _socket?: Socket } | undefined)?._socket
}
