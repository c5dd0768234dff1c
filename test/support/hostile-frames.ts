// Seeded frames for one decoder: good ones, and good ones spoiled in every way that came to mind.

import type { FrameFormatName } from '../../src/ring/frame-format.ts'
import { SIDE, TICK_BYTES } from '../../src/tick/layout.ts'

const SNIPPETS = [
  ...['"', '\\', '{', '}', '[', ']', ',', ':', '\n', '\u0000', ' ', '\t', '-', '.', 'e', '+'],
  ...['true', 'null', '\\u0041', '\\ud800', '\\"', '"e":"trade"', '1e999', '-0', '00', '1.'],
  ...['9223372036854775807', '9007199254740993', '{}', '[]', '""', '\u00ff', 'é', '\ufeff'],
]

export class HostileFrames {
  readonly #format: FrameFormatName
  #state: number
  #id = 1

  constructor(format: FrameFormatName, seed: number) {
    this.#format = format
    this.#state = seed >>> 0
  }

  /** The next frame: about one in five is untouched. */
  next(): Uint8Array {
    let frame: Buffer = Buffer.from(this.good())
    if (this.#format === 'ndjson' && this.#below(4) === 0) {
      frame = Buffer.concat([frame, Buffer.from('\n'), this.good()])
    }
    if (this.#below(50) === 0) frame = this.#noise()
    return this.spoiled(frame, this.#below(5))
  }

  /** A frame spoiled so many times. */
  spoiled(frame: Uint8Array, times: number): Uint8Array {
    let spoiled: Buffer = Buffer.from(frame)
    for (let i = 0; i < times; i++) spoiled = this.#spoil(spoiled)
    return spoiled
  }

  /** Arbitrary bytes. */
  noise(): Uint8Array {
    return this.#noise()
  }

  /** A frame that the decoder understands. */
  good(): Uint8Array {
    if (this.#format === 'packed') return this.#packed()
    const object = this.#format === 'ndjson' ? this.#normalised() : this.#binance()
    const text = this.#below(8) === 0 ? JSON.stringify(object, null, 1) : JSON.stringify(object)
    // A normalised record is one line.
    return Buffer.from(this.#format === 'ndjson' ? text.replaceAll('\n', ' ') : text)
  }

  /** A trade of an instrument that is known from the start. */
  trade(): Uint8Array {
    if (this.#format === 'packed') return this.#packed().subarray(0, TICK_BYTES)
    const trade =
      this.#format === 'ndjson'
        ? { type: 'trade', venue: 'binance', ts_event: '2024-08-08T00:00:00Z', price: 1, size: 1 }
        : { e: 'trade', E: 1, s: 'BTCUSDT', t: 1, p: '1', q: '1', T: 1, m: true }
    return Buffer.from(JSON.stringify({ ...trade, symbol: 'BTC-USDT' }))
  }

  #binance(): object {
    const s = this.#below(20) === 0 ? `S${this.#below(500)}USDT` : 'BTCUSDT'
    const price = `${this.#below(1e6)}.${this.#below(1e8)}`
    const size = String(this.#below(1e6))
    const base = { E: 1723161256322, s, T: 1723161256322 }
    const id = this.#id
    this.#id += 1 + this.#below(3)
    const levels = () => Array.from({ length: 1 + this.#below(4) }, () => [price, size])
    const depth = { b: levels(), a: levels() }
    const chain = { U: id, u: this.#id - 1, pu: id - 1 }
    const payloads: object[] = [
      this.#binanceTrade(s, id, price, size),
      this.#binanceTrade(s, id, price, size),
      this.#binanceQuote(s, id, price, size),
      { e: 'depthUpdate', ...base, ...chain, ...depth },
    ]
    const payload = payloads[this.#below(payloads.length)] ?? {}
    switch (this.#below(24)) {
      case 0:
        return { result: null, id: 1 }
      case 1:
        return { stream: 'btcusdt@kline_1m', data: { e: 'kline', k: { o: '1' } } }
      case 2:
        return {
          stream: `${s.toLowerCase()}@depthSnapshot`,
          data: { lastUpdateId: id, bids: levels(), asks: levels() },
        }
      case 3:
      case 4:
      case 5:
        return { stream: `${s.toLowerCase()}@x`, data: payload }
      default:
        return payload
    }
  }

  /** One of the forms that trades have; as a rule, with the members in the venue's order. */
  #binanceTrade(s: string, t: number, p: string, size: string): object {
    const time = 1723161256000 + this.#below(1000)
    const [m, M, E, T] = [this.#below(2) === 0, true, time, time - this.#below(3)]
    const q = this.#below(4) === 0 ? size : `${size}.${this.#below(1e8)}`
    const forms: object[] = [
      { e: 'trade', E, s, t, p, q, T, m, M },
      { e: 'trade', E, s, t, p, q, b: 88, a: 5_266_583_935, T, m, M },
      { e: 'trade', E, T, s, t, p, q, X: 'MARKET', m },
      { e: 'aggTrade', E, s, a: t, p, q, f: 1, l: 123_456_789, T, m, M },
      { e: 'aggTrade', E, a: t, s, p, q, f: 1, l: 2, T, m },
      { e: 'trade', E, s, T, t, p, q, m, M },
    ]
    return forms[this.#below(forms.length)] ?? {}
  }

  /** As #binanceTrade, of quotes. */
  #binanceQuote(s: string, u: number, price: string, size: string): object {
    const T = 1723161256000 + this.#below(1000)
    const E = T + this.#below(3)
    const B = this.#below(4) === 0 ? size : `${size}.${this.#below(1e8)}`
    const levels = { b: price, B, a: `${this.#below(1e6)}.${this.#below(1e8)}`, A: size }
    const forms: object[] = [
      { u, s, ...levels },
      { e: 'bookTicker', u, s, ...levels, T, E },
      { e: 'bookTicker', u, E, T, s, ...levels },
      { e: 'bookTicker', E, s, T, u, ...levels },
      { e: 'bookTicker', u, s, ...levels, E },
    ]
    return forms[this.#below(forms.length)] ?? {}
  }

  #normalised(): object {
    const common = {
      venue: this.#below(20) === 0 ? `v${this.#below(20)}` : 'binance',
      symbol: this.#below(20) === 0 ? `S${this.#below(500)}` : 'BTC-USDT',
      ts_event: '2024-08-08T23:54:15.208000000Z',
      flags: this.#below(3) === 0 ? ['last', 'snapshot'] : undefined,
    }
    const price = this.#below(2) === 0 ? `${this.#below(1e6)}.5` : this.#below(1e6)
    const records: object[] = [
      { type: 'trade', ...common, id: '7', side: 'buy', price, size: '0.5' },
      { type: 'quote', ...common, bid_price: price, bid_size: '1', ask_price: price, ask_size: 2 },
      { type: 'book', ...common, side: 'sell', action: 'set', price, size: '3' },
      { type: 'price', ...common, market: 'real-time', interval_minutes: 5, price, loss: '-1.5' },
      { type: 'status', ...common, status: 'halted', from: 1, to: 2 },
    ]
    return records[this.#below(records.length)] ?? {}
  }

  #packed(): Uint8Array {
    const tick = Buffer.alloc(TICK_BYTES)
    tick.writeBigInt64LE(1723161256322000000n, 0)
    tick.writeUInt32LE(1, 16)
    tick.writeUInt8(1, 22)
    tick.writeUInt8(SIDE.buy, 23)
    tick.writeBigInt64LE(BigInt(this.#below(1e9)), 32)
    return Buffer.concat(Array.from({ length: 1 + this.#below(4) }, () => tick))
  }

  #noise(): Buffer {
    return Buffer.from(Array.from({ length: this.#below(80) }, () => this.#below(256)))
  }

  #spoil(frame: Buffer): Buffer {
    const at = this.#below(frame.length + 1)
    const upTo = Math.min(frame.length, at + this.#below(12))
    const before = frame.subarray(0, at)
    switch (this.#below(7)) {
      case 0: {
        const flipped = Buffer.from(frame)
        if (at < frame.length) flipped[at] = this.#below(256)
        return flipped
      }
      case 1:
        return Buffer.concat([before, frame.subarray(upTo)])
      case 2:
        return Buffer.concat([before, frame.subarray(at, upTo), frame.subarray(at)])
      case 3:
        return Buffer.from(before)
      case 4:
        return Buffer.concat([before, this.#digits(), frame.subarray(upTo)])
      default: {
        const snippet = Buffer.from(SNIPPETS[this.#below(SNIPPETS.length)] ?? '')
        return Buffer.concat([before, snippet, frame.subarray(at)])
      }
    }
  }

  #digits(): Buffer {
    return Buffer.from(Array.from({ length: 1 + this.#below(25) }, () => 0x30 + this.#below(10)))
  }

  /** A whole number below `n`: mulberry32. */
  #below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let x = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * n)
  }
}
