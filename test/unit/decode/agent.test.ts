// The decode agent inline: real rings, validator and dead letters, a decoder of one-word lines.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { DecodeAgent } from '../../../src/decode/agent.ts'
import { type Decoder, EVENT } from '../../../src/decode/decoder.ts'
import { IGNORE_REASONS, REJECT_REASONS } from '../../../src/ledger/reasons.ts'
import { BATCH_TICKS_MAX } from '../../../src/limits.ts'
import { type CounterName, counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { silentLog } from '../../../src/ops/log.ts'
import { FeedbackReceiver, FeedbackSender, type Receipt } from '../../../src/ring/feedback.ts'
import { FRAME_FLAG, FrameRingConsumer, FrameRingProducer } from '../../../src/ring/frame-ring.ts'
import { frameRingBytes } from '../../../src/ring/frame-ring-layout.ts'
import { TickRingConsumer, TickRingProducer } from '../../../src/ring/tick-ring.ts'
import { createTickRing } from '../../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../../../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_BYTES, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'
import { type DeadLetter, readDeadLetters } from '../../../src/validate/dead-letter-reader.ts'
import { DeadLetterStore } from '../../../src/validate/dead-letters.ts'
import { Validator } from '../../../src/validate/rules.ts'

const LINES = 1
const NO_SUCH_FORMAT = 99
const encoder = new TextEncoder()
const decoderText = new TextDecoder()

/** What a test does to its decoders, and sees of them. */
interface Crashes {
  left: number
  onFrame?: (room: number) => void
}

/**
 * One message a line: `trade ID SIZE`, `many N FIRST_ID`, `skip`, `bad`, `gap FROM TO`, `crash`.
 * `crashes`: how often `crash` throws before it is taken for a trade.
 */
function lineDecoder(crashes: Crashes): Decoder {
  return {
    decode(bytes, start, end, meta, out, tally) {
      crashes.onFrame?.(out.capacity - out.count)
      let at = start
      for (const line of decoderText.decode(bytes.slice(start, end)).split('\n')) {
        const [word, a, b] = line.split(' ')
        const from = at
        at += line.length + 1
        if (word === 'crash' && crashes.left-- > 0) throw new Error('cannot read this')
        if (word === 'skip') tally.ignore(IGNORE_REASONS.indexOf('control'))
        else if (word === 'bad') {
          tally.reject(REJECT_REASONS.indexOf('bad_json'), bytes, from, from + line.length)
        } else if (word === 'gap') {
          tally.gaps++
          tally.idsMissing += Number(b) - Number(a) + 1
          tally.onGap?.(1, Number(a), Number(b))
          tally.ignore(IGNORE_REASONS.indexOf('unsynced_depth'))
        } else {
          const count = word === 'many' ? Number(a) : 1
          for (let i = 0; i < count; i++) {
            const index = out.count++
            out.clear(index)
            out.setKindSide(index, KIND.trade, SIDE.buy)
            out.setInstrument(index, 1)
            out.setSource(index, meta.source)
            const { words } = out
            const word0 = index * TICK_WORDS
            writeSplit(words, word0 + WORD.ts_event, false, meta.recvSec, meta.recvNsec)
            writeSplit(words, word0 + WORD.ts_recv, false, meta.recvSec, meta.recvNsec)
            writeInteger(words, word0 + WORD.p0, 5)
            writeInteger(words, word0 + WORD.p1, word === 'trade' ? Number(b) : 1)
            writeInteger(words, word0 + WORD.p2, word === 'many' ? Number(b) + i : Number(a ?? 0))
            tally.origins[index * 2] = from
            tally.origins[index * 2 + 1] = from + line.length
          }
          tally.accept(EVENT.trade, count)
        }
      }
    },
  }
}

const createShard = (t: Test, options: ShardOptions = {}) => new Shard(t, options)

interface ShardOptions {
  tickCapacity?: number
  firstSeq?: number
  crashes?: number
}

/** Memory and ends of a shard's decode stage; `start()` makes an agent on it, as a runner does. */
class Shard {
  readonly crashes: Crashes
  readonly clock = new SimulatedClock()
  readonly counters = [0, 1].map(() => new CounterSet(counterNames('decode')))
  readonly letterCounters = new CounterSet(counterNames('dead_letters'))
  readonly decodersMade: string[] = []
  readonly receipts: Receipt[] = []
  readonly resyncs: [source: number, instrument: number][] = []
  readonly #firstSeq: number
  readonly #frames = [0, 1].map(() => new SharedArrayBuffer(frameRingBytes(1 << 20)))
  readonly #feedback = [0, 1].map(() => new SharedArrayBuffer(frameRingBytes(1024)))
  readonly #producers = this.#frames.map((memory) => new FrameRingProducer(memory))
  readonly #receivers = this.#feedback.map((memory) => new FeedbackReceiver(memory))
  readonly #ticks: SharedArrayBuffer
  readonly #reader: TickRingConsumer
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'tickd-decode-'))

  constructor(t: Test, { tickCapacity = 4096, firstSeq = 0, crashes = Infinity }: ShardOptions) {
    t.teardown(() => rmSync(this.#directory, { recursive: true }))
    this.crashes = { left: crashes }
    this.#firstSeq = firstSeq
    this.#ticks = createTickRing(tickCapacity, firstSeq)
    this.#reader = new TickRingConsumer(this.#ticks, 0, firstSeq)
  }

  start(): DecodeAgent {
    const config = configSchema.parse({})
    return new DecodeAgent({
      shard: 3,
      inputs: this.#frames.map((memory, i) => ({
        ring: new FrameRingConsumer(memory),
        feedback: new FeedbackSender(this.#feedback[i] as SharedArrayBuffer),
      })),
      ticks: new TickRingProducer(this.#ticks, this.#firstSeq, [0]),
      decoders: (source, format) => {
        if (format !== LINES) return undefined
        this.decodersMade.push(`${source}/${format}`)
        return lineDecoder(this.crashes)
      },
      validator: new Validator({ config: config.validate, instruments: { count: 1 } }),
      deadLetters: new DeadLetterStore({
        directory: this.#directory,
        config: config.dead_letters,
        sources: [],
        counters: this.letterCounters,
        log: silentLog,
      }),
      counters: (source) => this.counters[source] as CounterSet<CounterName<'decode'>>,
      clock: this.clock,
      log: silentLog,
    })
  }

  send(
    text: string,
    { input = 0, source = 0, format = LINES, flags = 0, token = 0 } = {},
  ): boolean {
    const payload = encoder.encode(text)
    const meta = { source, format, flags, token, recvSec: 1_700_000_000, recvNsec: 9 }
    const producer = this.#producers[input] as FrameRingProducer
    return producer.tryWrite(meta, payload, 0, payload.length)
  }

  /** Trade ids published and not yet read. */
  readIds(): number[] {
    const reader = this.#reader
    const batch = new TickBatch(reader.capacity)
    const ids: number[] = []
    while (reader.available() > 0) {
      const run = reader.run()
      const start = reader.offset()
      batch.bytes.set(reader.bytes.subarray(start, start + run * TICK_BYTES))
      for (let i = 0; i < run; i++) ids.push(batch.words[i * TICK_WORDS + WORD.p2] as number)
      reader.advance(run)
    }
    return ids
  }

  drainFeedback(): void {
    for (const receiver of this.#receivers) {
      receiver.drain({
        onReceipt: (receipt) => this.receipts.push(receipt),
        onResync: (source, instrument) => this.resyncs.push([source, instrument]),
      })
    }
  }

  letters(): DeadLetter[] {
    return [...readDeadLetters(this.#directory)]
  }
}

/** Fails unless the conservation of a source's messages and records holds. */
function checkBalance(t: Test, counters: CounterSet<CounterName<'decode'>>): void {
  const all = counters.toJSON()
  const sum = (prefix: string) =>
    Object.entries(all).reduce((n, [name, v]) => (name.startsWith(prefix) ? n + v : n), 0)
  t.equal(all.messages, (all.messages_decoded ?? 0) + sum('ignored_') + sum('rejected_'))
  t.equal(
    all.records,
    (all.records_accepted ?? 0) + (all.records_duplicate ?? 0) + (all.records_quarantined ?? 0),
  )
  t.equal(all.records_quarantined, sum('quarantined_'))
}

t.test('frames become ticks in order, and every message is counted', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  t.equal(agent.roleName, 'decode-3')
  shard.send('trade 1 5\nskip\nbad')
  shard.send('trade 2 5')
  shard.send('trade 2 5\ntrade 3 0\ntrade 4 5')
  t.equal(agent.doWork(), 3, 'three frames in one cycle')
  t.same(shard.readIds(), [1, 2, 4])
  t.equal(agent.doWork(), 0)
  t.ok(agent.drain())
  const counters = shard.counters[0] as CounterSet<CounterName<'decode'>>
  t.match(counters.toJSON(), {
    frames: 3,
    bytes: 18 + 9 + 29,
    messages: 7,
    messages_decoded: 5,
    events_trade: 5,
    records: 5,
    records_accepted: 3,
    records_duplicate: 1,
    records_quarantined: 1,
    quarantined_zero_trade_size: 1,
    ignored_control: 1,
    rejected_bad_json: 1,
    decoder_crashes: 0,
  })
  checkBalance(t, counters)
})

t.test('what is refused is kept raw, with its reason, once the time for it has come', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  shard.send('trade 1 5\nbad', { source: 1 })
  shard.send('trade 7 -2', { source: 1 })
  agent.doWork()
  t.same(shard.letters(), [], 'no write per letter')
  shard.clock.advance(1000)
  agent.doWork()
  const [bad, negative, ...rest] = shard.letters()
  t.same(rest, [])
  t.match(bad, { reason: 'bad_json', source: 1, format: LINES, instrument: 0, record: undefined })
  t.equal(decoderText.decode(bad?.bytes), 'bad')
  t.equal(bad?.recvNs, 1_700_000_000_000_000_009n)
  t.match(negative, { reason: 'negative_size', source: 1, format: LINES, instrument: 1 })
  t.equal(decoderText.decode(negative?.bytes), 'trade 7 -2')
  t.equal(negative?.record?.length, 64)
  t.equal(negative?.recvNs, 1_700_000_000_000_000_009n)
  t.equal(shard.letterCounters.get('letters'), 2)
})

t.test('letters are written at close', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  shard.send('bad')
  agent.doWork()
  agent.onClose()
  t.equal(shard.letters().length, 1)
})

t.test('a format without a decoder is rejected, and does not stop the others', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  shard.send('whatever', { format: NO_SUCH_FORMAT })
  shard.send('trade 1 1')
  agent.doWork()
  agent.doWork()
  t.same(shard.readIds(), [1])
  t.match(shard.counters[0]?.toJSON(), { messages: 2, rejected_unknown_format: 1 })
})

t.test('sources are counted apart, and each has one decoder for a format', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  for (let i = 0; i < 10; i++) shard.send(`trade ${i + 1} 1`, { source: i % 2 })
  while (agent.doWork() > 0);
  t.same(shard.decodersMade, ['0/1', '1/1'])
  t.equal(shard.counters[0]?.get('frames'), 5)
  t.equal(shard.counters[1]?.get('frames'), 5)
  t.equal(shard.readIds().length, 10)
})

t.test('every frame has room for the same number of records, whatever is before it', async (t) => {
  const rooms: number[] = []
  const shard = createShard(t, { tickCapacity: 1 << 16 })
  shard.crashes.onFrame = (room) => rooms.push(room)
  const agent = shard.start()
  for (let i = 0; i < 20; i++) shard.send(`many ${i * 7} ${i * 1000}`)
  while (agent.doWork() > 0);
  t.same(rooms, new Array(20).fill(BATCH_TICKS_MAX))
})

t.test('both inputs get their turn while one is always full', async (t) => {
  const shard = createShard(t, { tickCapacity: 1 << 16 })
  const agent = shard.start()
  for (let i = 0; i < 1000; i++) shard.send(`trade ${i + 1} 1`, { input: 0 })
  shard.send('trade 5000 1', { input: 1, source: 1 })
  agent.doWork()
  t.equal(shard.counters[1]?.get('frames'), 1)
  t.ok((shard.counters[0]?.get('frames') ?? 0) < 1000, 'one bounded group of the full input')
})

t.test('while the tick ring is full the decoded group waits, and is decoded once', async (t) => {
  const shard = createShard(t, { tickCapacity: 64 })
  const agent = shard.start()
  shard.send('many 60 1')
  agent.doWork()
  shard.send('many 50 100')
  agent.doWork()
  for (let i = 0; i < 20; i++) t.equal(agent.doWork(), 0, 'no room')
  t.notOk(agent.drain(), 'the second frame is not out yet')
  t.equal(shard.counters[0]?.get('records_accepted'), 60, 'nothing is counted that is not out')
  t.equal(shard.readIds().length, 60)
  agent.doWork()
  t.equal(shard.readIds().length, 50)
  t.equal(shard.counters[0]?.get('records_duplicate'), 0, 'decoded and validated once')
  t.equal(shard.counters[0]?.get('records_accepted'), 110)
  t.ok(agent.drain())
})

t.test('waiting for room counts as one attempt only', async (t) => {
  const shard = createShard(t, { tickCapacity: 64, crashes: 0 })
  const first = shard.start()
  shard.send('many 60 1')
  first.doWork()
  shard.send('many 50 100')
  for (let i = 0; i < 5; i++) first.doWork()
  const second = shard.start()
  for (let i = 0; i < 5; i++) second.doWork()
  t.equal(shard.readIds().length, 60)
  second.doWork()
  t.equal(shard.readIds().length, 50, 'not taken for a frame that crashes')
  t.equal(shard.counters[0]?.get('rejected_decoder_crash'), 0)
})

t.test('a receipt tells where the records lie, and what became of the rest', async (t) => {
  const firstSeq = 2 ** 32 + 2 ** 31 - 2
  const shard = createShard(t, { firstSeq })
  const agent = shard.start()
  const flags = FRAME_FLAG.WANT_RECEIPT
  shard.send('trade 1 1')
  shard.send('trade 2 1\ntrade 1 1\nbad\ntrade 3 0\ntrade 4 1\nskip', { flags, token: 77 })
  shard.send('bad', { flags, token: 78 })
  shard.send('trade 5 1', { input: 1, source: 1, flags, token: 2 ** 32 - 1 })
  while (agent.doWork() > 0);
  shard.drainFeedback()
  t.match(
    shard.receipts.sort((a, b) => a.token - b.token),
    [
      { token: 77, source: 0, firstSeq: firstSeq + 2, accepted: 2, duplicate: 1, rejected: 2 },
      { token: 78, source: 0, firstSeq: firstSeq + 4, accepted: 0, duplicate: 0, rejected: 1 },
      {
        token: 2 ** 32 - 1,
        source: 1,
        firstSeq: firstSeq + 1,
        accepted: 1,
        duplicate: 0,
        rejected: 0,
      },
    ],
  )
})

t.test('receipts that find no room are sent later, none twice', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  const count = 40
  for (let i = 0; i < count; i++) {
    shard.send(`trade ${i + 1} 1`, { flags: FRAME_FLAG.WANT_RECEIPT, token: i })
  }
  for (let i = 0; i < 2 * count; i++) agent.doWork()
  t.notOk(agent.drain(), 'a receipt is owed')
  for (let i = 0; i < 2 * count; i++) {
    shard.drainFeedback()
    agent.doWork()
  }
  t.same(
    shard.receipts.map(({ token }) => token),
    Array.from({ length: count }, (_, i) => i),
  )
  t.equal(shard.readIds().length, count)
  t.ok(agent.drain())
})

t.test('a gap asks its producer for a fresh snapshot', async (t) => {
  const shard = createShard(t)
  const agent = shard.start()
  shard.send('gap 10 14', { source: 1 })
  agent.doWork()
  shard.drainFeedback()
  t.same(shard.resyncs, [[1, 1]])
  t.match(shard.counters[1]?.toJSON(), { gaps: 1, gap_missing: 5 })
})

t.test(
  'a decoder that throws takes the agent down; the frame goes through on the next try',
  async (t) => {
    const shard = createShard(t, { crashes: 1 })
    shard.send('trade 1 1')
    shard.send('crash')
    shard.send('trade 2 1')
    t.throws(() => shard.start().doWork(), /cannot read this/)
    t.equal(shard.counters[0]?.get('frames'), 0, 'nothing of the group is counted yet')
    t.equal(shard.counters[0]?.get('decoder_crashes'), 1)
    const agent = shard.start()
    while (agent.doWork() > 0);
    t.same(shard.readIds(), [1, 0, 2])
    t.equal(shard.counters[0]?.get('frames'), 3)
  },
)

t.test(
  'a frame that crashes twice is set aside, alone, and its neighbours come through once',
  async (t) => {
    const shard = createShard(t)
    shard.send('trade 1 1\nbad')
    shard.send('trade 2 1')
    shard.send('trade 3 1\ncrash', { flags: FRAME_FLAG.WANT_RECEIPT, token: 9 })
    shard.send('trade 4 1')
    let crashes = 0
    let agent = shard.start()
    for (let turn = 0; turn < 50; turn++) {
      try {
        agent.doWork()
      } catch {
        crashes++
        agent.onClose()
        agent = shard.start()
      }
    }
    agent.onClose()
    shard.drainFeedback()
    t.equal(crashes, 2)
    t.same(shard.readIds(), [1, 2, 4])
    t.match(shard.receipts, [{ token: 9, accepted: 0, rejected: 1 }])
    const counters = shard.counters[0] as CounterSet<CounterName<'decode'>>
    t.match(counters.toJSON(), {
      frames: 4,
      messages: 5,
      records: 3,
      decoder_crashes: 2,
      rejected_decoder_crash: 1,
      rejected_bad_json: 1,
    })
    checkBalance(t, counters)
    const crashed = shard.letters().filter(({ reason }) => reason === 'decoder_crash')
    t.equal(crashed.length, 1)
    t.equal(decoderText.decode(crashed[0]?.bytes), 'trade 3 1\ncrash', 'the whole frame')
  },
)

t.test('two poison frames in one group are told apart from the good ones between', async (t) => {
  const shard = createShard(t)
  const frames = ['trade 1 1', 'crash', 'trade 2 1', 'crash', 'trade 3 1']
  for (const frame of frames) shard.send(frame)
  let crashes = 0
  let agent = shard.start()
  for (let turn = 0; turn < 50; turn++) {
    try {
      agent.doWork()
    } catch {
      crashes++
      agent = shard.start()
    }
  }
  t.equal(crashes, 4)
  t.same(shard.readIds(), [1, 2, 3])
  t.equal(shard.counters[0]?.get('rejected_decoder_crash'), 2)
})

t.test('whatever crashes, and whenever, each trade is published once and in order', async (t) => {
  const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
  t.comment(`TICKD_SEED=${seed}`)
  let state = seed >>> 0 || 1
  const random = (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
  const shard = createShard(t, { tickCapacity: 256, firstSeq: 2 ** 32 - 300 })
  const wanted: number[] = []
  const published: number[] = []
  let agent = shard.start()
  let id = 0
  let poison = 0
  let sent = 0
  for (let turn = 0; turn < 4000; turn++) {
    while (sent < 1500 && random(3) > 0) {
      const lines = Array.from({ length: 1 + random(4) }, () =>
        random(6) === 0 ? 'bad' : `trade ${++id} 1`,
      )
      const isPoison = random(60) === 0
      if (isPoison) {
        poison++
        lines.splice(random(lines.length), 0, 'crash')
      } else {
        wanted.push(
          ...lines.flatMap((line) => (line === 'bad' ? [] : [Number(line.split(' ')[1])])),
        )
      }
      const flags = random(20) === 0 ? FRAME_FLAG.WANT_RECEIPT : 0
      if (!shard.send(lines.join('\n'), { flags })) t.fail('the frame ring has room')
      sent++
    }
    try {
      agent.doWork()
    } catch {
      agent = shard.start()
    }
    // Now and then it ends without a crash, perhaps with a group that waits for room.
    if (random(100) === 0) agent = shard.start()
    if (random(4) === 0) published.push(...shard.readIds())
    shard.drainFeedback()
  }
  while (!agent.drain()) {
    try {
      agent.doWork()
    } catch {
      agent = shard.start()
    }
    published.push(...shard.readIds())
    shard.drainFeedback()
  }
  published.push(...shard.readIds())
  const counters = shard.counters[0] as CounterSet<CounterName<'decode'>>
  t.equal(sent, 1500)
  t.ok(poison > 0, `${poison} poison frames`)
  t.same(published, wanted)
  t.equal(counters.get('frames'), sent)
  t.equal(counters.get('rejected_decoder_crash'), poison)
  t.equal(counters.get('records_accepted'), wanted.length)
  checkBalance(t, counters)
})
