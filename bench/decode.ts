// Decoding alone: frames on a frame ring -> records in a batch, each implementation on one core.
//
//   Binance trades and quotes, a frame each ─▶ BinanceDecoder (JS, native) ─▶ 64-byte records
//   normalised trades, 512 lines a frame  ─▶ NdjsonDecoder  (JS, native) ─▶ 64-byte records
//
// Yardsticks over the same bytes: JSON.parse of each message's text, no record made; and a loop in
// JS that reads every byte once and counts quotes. They and ours take turns within each round.
// Figures are per second of this process's CPU time, so that a neighbour does not count. Verified:
// every record is the trade that was written, by both decoders to the bit.

import { DecodeTally } from '../src/decode/decoder.ts'
import { chooseKernels, jsKernels, type Kernels } from '../src/decode/kernels.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../src/ledger/reasons.ts'
import { chooseAddon } from '../src/native/addon.ts'
import { type FrameMeta, FrameRingConsumer, FrameRingProducer } from '../src/ring/frame-ring.ts'
import { frameRingBytes, frameSize } from '../src/ring/frame-ring-layout.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { formatDecimal } from '../src/tick/fixed-point.ts'
import { InstrumentTable } from '../src/tick/instruments.ts'
import { TICK_BYTES, TICK_WORDS, WORD } from '../src/tick/layout.ts'
import {
  atLeast,
  type Bench,
  type BenchOptions,
  figureText,
  type Goal,
  goalsText,
  headText,
  median,
  type Report,
} from './bench.ts'

/** Prepared messages: no cache of ours holds them all, and no predictor learns them by heart. */
const MESSAGES = 8192
const LINES_PER_FRAME = 512
const INSTRUMENTS = 1024
const QUOTE = 0x22
const FIRST_MS = 1_723_161_256_322
const FIRST_ID = 5_266_583_935_000
const GOAL_NATIVE = 10
const GOAL_JS = 4

type Size = 'rounds' | 'ticks'

export interface DecodeCase {
  what: string
  messageBytes: number
  /** Messages a CPU second, in each round. */
  jsonParse: number[]
  bareScan: number[]
  js: number[]
  /** Empty where the native kernels are not built. */
  native: number[]
}

/** The same messages as frames in one memory, and one by one as text. */
interface Input {
  readonly what: string
  readonly bytes: Uint8Array
  /** Up to where there are frames. */
  readonly behindEnd: number
  /** First byte and end of each frame, in pairs. */
  readonly frames: Int32Array
  readonly texts: readonly string[]
  readonly prices: readonly string[]
  readonly make: (kernels: Kernels, instruments: InstrumentTable) => Decode
}

type Decode = (batch: TickBatch, tally: DecodeTally, input: Input) => void

const META: FrameMeta = { source: 0, format: 0, flags: 0, token: 0, recvSec: 1, recvNsec: 2 }

export const decodeBench: Bench<Size> = {
  name: 'decode',
  summary: 'Binance and normalised trades to records, JS and native, beside JSON.parse',
  full: { rounds: 9, ticks: 2_000_000 },
  smoke: { rounds: 1, ticks: 50_000 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const { name, why } = chooseAddon('auto')
  const cases: DecodeCase[] = []
  for (const input of [tradesInput(), quotesInput(), linesInput()]) {
    options.progress(input.what)
    cases.push(runCase(input, options, name === 'native'))
  }
  return { ticks: options.ticks, native: why, cases, rounds: cases, goals: goals(cases) }
}

function goals(cases: readonly DecodeCase[]): Goal[] {
  const binance = cases[0] as DecodeCase
  const found = [atLeast(GOAL_JS, 'Binance trades, JS', median(binance.js) / 1e6, 'M/s')]
  if (binance.native.length === 0) return found
  const native = median(binance.native) / 1e6
  return [...found, atLeast(GOAL_NATIVE, 'Binance trades, native', native, 'M/s')]
}

function runCase(input: Input, options: BenchOptions<Size>, hasNative: boolean): DecodeCase {
  const instruments = new InstrumentTable(InstrumentTable.create(INSTRUMENTS), INSTRUMENTS)
  const js = input.make(jsKernels, instruments)
  const native = hasNative ? input.make(chooseKernels('native'), instruments) : undefined
  verify(input, js, native)
  const result: DecodeCase = {
    what: input.what,
    messageBytes: (input.texts[0] as string).length,
    jsonParse: [],
    bareScan: [],
    js: [],
    native: [],
  }
  const batch = new TickBatch(MESSAGES)
  const tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, MESSAGES)
  const passes = Math.max(1, Math.round(options.ticks / MESSAGES))
  const decoding = (decode: Decode) => () => {
    batch.count = 0
    decode(batch, tally, input)
    return batch.count
  }
  // The first round warms up, and is not counted.
  for (let round = -1; round < options.rounds; round++) {
    const figures: [number[], () => number][] = [
      [result.jsonParse, () => parseAll(input)],
      [result.bareScan, () => scanAll(input)],
      [result.js, decoding(js)],
    ]
    if (native !== undefined) figures.push([result.native, decoding(native)])
    for (const [into, pass] of figures) {
      const perSecond = measure(passes, pass)
      if (round >= 0) into.push(perSecond)
    }
  }
  return result
}

/** Messages a CPU second of so many passes over the input. */
function measure(passes: number, pass: () => number): number {
  const started = process.cpuUsage()
  for (let i = 0; i < passes; i++) {
    const count = pass()
    if (count !== MESSAGES) throw new Error(`${count} messages, not ${MESSAGES}`)
  }
  const { user, system } = process.cpuUsage(started)
  return (passes * MESSAGES * 1e6) / (user + system)
}

function verify(input: Input, js: Decode, native: Decode | undefined): void {
  const expected = decoded(input, js)
  for (let i = 0; i < MESSAGES; i++) {
    const price = formatDecimal(expected.words, i * TICK_WORDS + WORD.p0, 9)
    if (price !== input.prices[i]) throw new Error(`record ${i} has the price ${price}`)
  }
  if (native === undefined) return
  const found = decoded(input, native).bytes.subarray(0, MESSAGES * TICK_BYTES)
  if (Buffer.compare(expected.bytes.subarray(0, MESSAGES * TICK_BYTES), found) !== 0) {
    throw new Error(`${input.what}: native records are not the JS ones`)
  }
}

function decoded(input: Input, decode: Decode): TickBatch {
  const batch = new TickBatch(MESSAGES)
  const tally = new DecodeTally(IGNORE_REASONS, REJECT_REASONS, MESSAGES)
  decode(batch, tally, input)
  const { messages, records } = tally
  if (records !== MESSAGES || messages !== MESSAGES) {
    throw new Error(`${input.what}: ${records} records of ${messages} messages`)
  }
  return batch
}

/** What is worked out and not needed: no pass may be optimised away. */
const sink = { count: 0 }

function parseAll({ texts }: Input): number {
  for (const text of texts) {
    const parsed = JSON.parse(text)
    if (parsed !== null) sink.count++
  }
  return texts.length
}

function scanAll({ bytes, frames, texts }: Input): number {
  let quotes = 0
  for (let i = 0; i < frames.length; i += 2) {
    const end = frames[i + 1] as number
    for (let at = frames[i] as number; at < end; at++) if (bytes[at] === QUOTE) quotes++
  }
  sink.count += quotes
  return texts.length
}

const SYMBOLS = ['1000SATSUSDT', '1000PEPEUSDT', '1000BONKUSDT']
const PRICES = Array.from({ length: MESSAGES }, (_, i) => `${61_800 + (i % 97)}.${20 + (i % 79)}`)

function size(i: number): string {
  return `${100 + (i % 900)}.${String((i * 7919) % 1e8).padStart(8, '0')}`
}

function tradesInput(): Input {
  const texts = PRICES.map((price, i) => {
    // One by one for each symbol, as the venue numbers them.
    const id = FIRST_ID + Math.floor(i / 3)
    const start = `{"e":"trade","E":${FIRST_MS + i},"s":"${SYMBOLS[i % 3]}","t":${id}`
    const rest = `"T":${FIRST_MS + i - 1},"m":${i % 2 === 0},"M":true}`
    return `${start},"p":"${price}000000","q":"${size(i)}",${rest}`
  })
  return binanceInput('Binance trades, a frame each', texts)
}

/** Best levels as spot streams send them, each with its stream's name. */
function quotesInput(): Input {
  const texts = PRICES.map((price, i) => {
    const symbol = SYMBOLS[i % 3] as string
    const bid = `"b":"${price}000000","B":"${size(i)}"`
    const ask = `"a":"${price}500000","A":"${size(i + 1)}"`
    const data = `{"u":${FIRST_ID + i},"s":"${symbol}",${bid},${ask}}`
    return `{"stream":"${symbol.toLowerCase()}@bookTicker","data":${data}}`
  })
  return binanceInput('Binance quotes, a combined frame each', texts)
}

function binanceInput(what: string, texts: readonly string[]): Input {
  return {
    what,
    ...framesOf(texts),
    texts,
    prices: PRICES.map((price) => price.replace(/0$/, '')),
    make: (kernels, instruments) => {
      const decoder = kernels.binance({ venue: 'binance', instruments, market: 'spot' })
      return decodeFrames(decoder.decode.bind(decoder))
    },
  }
}

function linesInput(): Input {
  const prices = Array.from({ length: MESSAGES }, (_, i) => `${61_800 + (i % 97)}.5`)
  const texts = prices.map((price, i) =>
    JSON.stringify({
      type: 'trade',
      venue: 'binance',
      symbol: i % 3 === 0 ? 'BTC-USDT' : 'ETH-USDT',
      ts_event: new Date(FIRST_MS + i).toISOString().replace('Z', '000000Z'),
      id: String(FIRST_ID + i),
      side: i % 2 === 0 ? 'buy' : 'sell',
      price,
      size: `0.${1 + (i % 9973)}`,
    }),
  )
  const frames: string[] = []
  for (let i = 0; i < MESSAGES; i += LINES_PER_FRAME) {
    frames.push(`${texts.slice(i, i + LINES_PER_FRAME).join('\n')}\n`)
  }
  return {
    what: `normalised trades, ${LINES_PER_FRAME} lines a frame`,
    ...framesOf(frames),
    texts,
    prices,
    make: (kernels, instruments) => {
      const decoder = kernels.ndjson({ venue: '', instruments })
      return decodeFrames(decoder.decode.bind(decoder))
    },
  }
}

function decodeFrames(decode: ReturnType<Kernels['ndjson']>['decode']): Decode {
  return (batch, tally, { bytes, frames, behindEnd }) => {
    for (let i = 0; i < frames.length; i += 2) {
      const [start, end] = [frames[i] as number, frames[i + 1] as number]
      decode(bytes, start, end, META, batch, tally, behindEnd)
    }
  }
}

/** Frames on a ring, as sources write them, none released. */
function framesOf(texts: readonly string[]): Pick<Input, 'bytes' | 'behindEnd' | 'frames'> {
  const size = texts.reduce((sum, text) => sum + frameSize(text.length), 0)
  const memory = new SharedArrayBuffer(frameRingBytes(2 ** Math.ceil(Math.log2(size))))
  const producer = new FrameRingProducer(memory)
  for (const text of texts) {
    const payload = Buffer.from(text)
    if (!producer.tryWrite(META, payload, 0, payload.length)) throw new Error('the ring is full')
  }
  const ring = new FrameRingConsumer(memory)
  const frames = new Int32Array(2 * texts.length)
  for (let i = 0; ring.poll(); i += 2) {
    frames[i] = ring.start
    frames[i + 1] = ring.end
    ring.keep()
  }
  return { bytes: ring.bytes, behindEnd: ring.keptPosition, frames }
}

function text(report: Report): string {
  const cases = report.cases as DecodeCase[]
  const lines = cases.map((each) => {
    const millions = (values: number[]) => values.map((value) => value / 1e6)
    const ratio = (values: number[]) => values.map((value, i) => value / (each.jsonParse[i] ?? 1))
    const figures: [label: string, values: number[]][] = [
      ['JSON.parse, no record made', each.jsonParse],
      ['bare scan of the bytes in JS', each.bareScan],
      ['JS decoder', each.js],
      ['native decoder', each.native],
    ]
    const rows = figures
      .filter(([, values]) => values.length > 0)
      .map(([label, values]) => {
        const times = `M/s, ${median(ratio(values)).toFixed(1)} x JSON.parse`
        return figureText(`  ${label}`, millions(values), 2, times)
      })
    return `  ${each.what}, ${each.messageBytes} bytes\n${rows.join('')}`
  })
  return (
    headText(report, 'messages to validated records, one core') +
    `native kernels: ${report.native}\n${lines.join('')}${goalsText(report)}`
  )
}
