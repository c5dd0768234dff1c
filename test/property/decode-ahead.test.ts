// A decode stage whose kernels look ahead on the ring, against one whose decoders do not: the same
// frames, in groups that end anywhere, on a small ring that turns often. What they publish, count,
// set aside and answer is the same. TICKD_SEED replays a run; TICKD_HOSTILE_FRAMES makes it longer.

import t from 'tap'
import { SimulatedClock } from '../../src/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { DecodeAgent } from '../../src/decode/agent.ts'
import type { Decoder } from '../../src/decode/decoder.ts'
import { createDecoder } from '../../src/decode/formats.ts'
import { chooseKernels, jsKernels, type Kernels } from '../../src/decode/kernels.ts'
import { PoisonList } from '../../src/decode/poison-list.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { silentLog } from '../../src/ops/log.ts'
import { FeedbackReceiver, FeedbackSender } from '../../src/ring/feedback.ts'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import {
  FRAME_FLAG,
  type FrameMeta,
  FrameRingConsumer,
  FrameRingProducer,
} from '../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../src/ring/frame-ring-layout.ts'
import { TickRingConsumer, TickRingProducer } from '../../src/ring/tick-ring.ts'
import { createTickRing } from '../../src/ring/tick-ring-layout.ts'
import { InstrumentTable } from '../../src/tick/instruments.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { Validator } from '../../src/validate/rules.ts'
import { HostileFrames } from '../support/hostile-frames.ts'
import { nativeAbsent } from '../support/kernel-pair.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
/** Some 30 frames each. */
const steps = Number(process.env.TICKD_HOSTILE_FRAMES ?? 100_000) / 5
const RING_BYTES = 16 * 1024
const TICKS = 4096
const INSTRUMENTS = 64
const FORMATS = [FRAME_FORMAT.binance, FRAME_FORMAT.binanceUsdm]
const POISON = Buffer.from(
  '{"e":"trade","E":1723161256322,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true,"M":true}',
)

t.comment(`TICKD_SEED=${seed}`)

/** A decode stage and both ends of its rings; `said` is all that came out of it but records. */
class Stage {
  readonly said: string[] = []
  readonly counters = [0, 1].map(() => new CounterSet(counterNames('decode')))
  readonly agent: DecodeAgent
  /** Frames whose record had been written, behind the others, when their turn came. */
  ahead = 0
  readonly #producers: FrameRingProducer[]
  readonly #receivers: FeedbackReceiver[]
  readonly #reader: TickRingConsumer

  constructor(kernels: Kernels) {
    const instruments = new InstrumentTable(InstrumentTable.create(INSTRUMENTS), INSTRUMENTS)
    const memories = [0, 1].map(() => new SharedArrayBuffer(frameRingBytes(RING_BYTES)))
    const feedback = [0, 1].map(() => new SharedArrayBuffer(frameRingBytes(RING_BYTES)))
    const ticks = createTickRing(TICKS, 0)
    this.#producers = memories.map((memory) => new FrameRingProducer(memory))
    this.#receivers = feedback.map((memory) => new FeedbackReceiver(memory))
    this.#reader = new TickRingConsumer(ticks, 0, 0)
    const poison = new PoisonList(PoisonList.create())
    poison.add(POISON, 0, POISON.length)
    const note = (what: string, reason: number, bytes: Uint8Array, start: number, end: number) => {
      this.said.push(`${what} ${reason} ${Buffer.from(bytes.slice(start, end)).toString('latin1')}`)
    }
    this.agent = new DecodeAgent({
      shard: 0,
      inputs: memories.map((memory, i) => ({
        ring: new FrameRingConsumer(memory),
        feedback: new FeedbackSender(feedback[i] as SharedArrayBuffer),
      })),
      ticks: new TickRingProducer(ticks, 0, [0]),
      poison,
      decoders: (_, format) => {
        return this.#watched(createDecoder(format, { venue: 'binance', instruments }, kernels))
      },
      validator: new Validator({ config: configSchema.parse({}).validate, instruments }),
      deadLetters: {
        addMessage: (reason, _, bytes, start, end) => note('message', reason, bytes, start, end),
        addRecord: (reason, _, __, ___, bytes, start, end) => {
          note('record', reason, bytes, start, end)
        },
        bufferedCount: 0,
        flush: () => true,
        close: () => {},
      },
      counters: (source) => this.counters[source] as (typeof this.counters)[number],
      clock: new SimulatedClock(),
      log: silentLog,
    })
  }

  #watched(decoder: Decoder): Decoder {
    return {
      decode: (bytes, start, end, meta, out, tally, behindEnd) => {
        const [from, to] = tally.origins.subarray(2 * out.count)
        if (out.count > 0 && from === start && to === end) this.ahead++
        decoder.decode(bytes, start, end, meta, out, tally, behindEnd)
      },
    }
  }

  send(input: number, meta: FrameMeta, frame: Uint8Array): boolean {
    return this.#producers[input]?.tryWrite(meta, frame, 0, frame.length) ?? false
  }

  /** Records published and not yet read. */
  records(): Buffer {
    const reader = this.#reader
    const parts: Buffer[] = []
    while (reader.available() > 0) {
      const run = reader.run()
      const start = reader.offset()
      parts.push(Buffer.from(reader.bytes.slice(start, start + run * TICK_BYTES)))
      reader.advance(run)
    }
    for (const receiver of this.#receivers) {
      receiver.drain({
        onReceipt: (receipt) => this.said.push(JSON.stringify(receipt)),
        onResync: (...resync) => this.said.push(`resync ${resync.join()}`),
      })
    }
    return Buffer.concat(parts)
  }
}

/** Seeded traffic: runs of plain trades and quotes, amid everything else that a ring may hold. */
class Traffic {
  readonly #hostile = new HostileFrames('binance', seed)
  #state = seed >>> 0
  #ids = [100, 200, 300]
  #meta = { source: 0, format: FORMATS[0] as number, flags: 0 }
  #nanos = 0
  #last: Uint8Array = POISON

  below(count: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * count)
  }

  /** What a frame carries beside its bytes: mostly as the one before. */
  meta(): FrameMeta {
    if (this.below(40) === 0) this.#meta.source = this.below(2)
    if (this.below(40) === 0) this.#meta.format = FORMATS[this.below(2)] as number
    if (this.below(40) === 0) this.#meta.flags = this.below(2) * FRAME_FLAG.REPLAYED
    const flags = this.#meta.flags | (this.below(60) === 0 ? FRAME_FLAG.WANT_RECEIPT : 0)
    this.#nanos += this.below(3) * 450_000_000
    const recvSec = 1_723_161_256 + Math.floor(this.#nanos / 1e9)
    return { ...this.#meta, flags, token: this.below(1000), recvSec, recvNsec: this.#nanos % 1e9 }
  }

  frame(): Uint8Array {
    if (this.below(12) === 0) return this.#hostile.next()
    if (this.below(200) === 0) return POISON
    if (this.below(40) > 0) {
      this.#last = Buffer.from(this.below(3) === 0 ? this.#quote() : this.#trade())
    }
    return this.#last
  }

  #quote(): string {
    const symbol = ['BTCUSDT', 'ETHUSDT', 'SOLUSDT'][this.below(3)]
    // A bid above the ask is quarantined.
    const bid = this.below(50) === 0 ? 80_000 : this.below(70_000)
    const levels = `"b":"${bid}.5","B":"1.${this.below(100)}","a":"70000.5","A":"2.5"`
    if (this.below(4) > 0) return `{"u":${this.below(1e9)},"s":"${symbol}",${levels}}`
    const ms = 1_723_161_256_000 + this.below(1000)
    return `{"e":"bookTicker","u":1,"s":"${symbol}",${levels},"T":${ms},"E":${ms + 1}}`
  }

  #trade(): string {
    const which = this.below(3)
    const leap = this.below(30) === 0 ? 2 : 0
    const id = (this.#ids[which] as number) + leap
    this.#ids[which] = id + 1
    const symbol = ['BTCUSDT', 'ETHUSDT', 'SOLUSDT'][which]
    const ms = 1_723_161_256_000 + this.below(1000)
    // A size of 0 is quarantined.
    const size = this.below(50) === 0 ? '0' : `${this.below(1000)}.${1 + this.below(9)}`
    const shown = this.below(50) === 0 ? id - 3 : id
    const end = `"p":"${this.below(70_000)}.5","q":"${size}","T":${ms},"m":true,"M":true}`
    return `{"e":"trade","E":${ms},"s":"${symbol}","t":${shown},${end}`
  }
}

t.test(
  'a stage that looks ahead does what one does that does not',
  { skip: nativeAbsent() },
  async (t) => {
    const js = new Stage(jsKernels)
    const native = new Stage(chooseKernels('native'))
    const traffic = new Traffic()
    let records = 0
    let wrong = ''
    for (let step = 0; step < steps && wrong === ''; step++) {
      for (let count = traffic.below(60); count > 0; count--) {
        const input = traffic.below(8) === 0 ? 1 : 0
        const [meta, frame] = [traffic.meta(), traffic.frame()]
        const taken = js.send(input, meta, frame)
        if (native.send(input, meta, frame) !== taken) wrong = 'rings differ'
      }
      if (js.agent.doWork() !== native.agent.doWork()) wrong = 'frames taken differ'
      const [expected, found] = [js.records(), native.records()]
      records += expected.length / TICK_BYTES
      if (Buffer.compare(expected, found) !== 0) wrong = 'records differ'
      if (js.said.splice(0).join('\n') !== native.said.splice(0).join('\n'))
        wrong = 'letters differ'
      if (wrong !== '') wrong += ` at step ${step}`
    }
    t.equal(wrong, '')
    for (const [i, counters] of js.counters.entries()) {
      t.same(native.counters[i]?.toJSON(), counters.toJSON())
      t.ok(counters.get('records_duplicate') > 0 && counters.get('records_quarantined') > 0)
      t.ok(counters.get('gaps') > 0 && counters.get('rejected_decoder_crash') > 0)
    }
    t.ok(records > steps, `${records} records`)
    t.ok(native.ahead > records / 5, `${native.ahead} of them ahead`)
    t.ok(js.ahead < records / 100, 'those of the other come one by one')
  },
)
