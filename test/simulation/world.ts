// Everything of one schedule: clock, disk, database, the daemon's lives, pushers and subscribers.
//
// The world acts only when the schedule says so. What it did is noted in a trace: a running hash,
// by which two runs of a seed are compared, and lines for whoever replays a failing one.

import { SimulatedClock } from '../../src/clock.ts'
import { errorText } from '../../src/errors.ts'
import type { Log } from '../../src/ops/log.ts'
import { Random } from '../../src/source/random.ts'
import type { Instrument } from '../../src/tick/instruments.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { Daemon, type SimulatedStage, STAGES } from './daemon.ts'
import { DAMAGED, type LifeSettings } from './life-agents.ts'
import { Published } from './published.ts'
import { Pusher, tradeLine } from './pusher.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import { SimulatedPostgres } from './simulated-postgres.ts'
import type { SimulatedSocket } from './simulated-web.ts'
import { SubscriberModel } from './subscriber-model.ts'
import { check } from './violation.ts'
import type { Wiring } from './wiring.ts'

const SUBSCRIBERS_MAX = 3
/** Beside its ticks, a segment has its header, a block's, a seal and marks of batches. */
const SEGMENT_HEADERS = 16
const VENUE_SYMBOL = 'VENUE'
const VENUE_TICKS_MAX = 12

/** Records that the store declared lost: [from, to], as it logged them. */
export type LostRange = readonly [from: number, to: number]

/** Records that the store passed over, and where they lie. */
export interface DamagedRange {
  readonly fromSeq: number
  readonly toSeq: number
  readonly file: string
}

export interface WorldOptions {
  readonly seed: number
  readonly wiring: Wiring
  /** Told of each event, when somebody wants to read along. */
  readonly onEvent?: ((text: string) => void) | undefined
}

export class World {
  readonly random: Random
  readonly clock = new SimulatedClock()
  readonly disk: SimulatedDisk
  readonly postgres: SimulatedPostgres
  readonly published = new Published()
  readonly pushers: readonly Pusher[]
  readonly subscribers: { model: SubscriberModel; socket: SimulatedSocket<unknown> }[] = []
  readonly lost: LostRange[] = []
  readonly damaged: DamagedRange[] = []
  readonly settings: LifeSettings
  daemon: Daemon | undefined
  /** A bit of a closed segment is flipped. */
  isDamaged = false
  /** How the daemon ends next: with the power, or alone. */
  losesPower = false
  /** Its agent gets no turns: it hangs. */
  stalled: SimulatedStage | undefined
  /** Greatest durable position that any life told anybody of. */
  durableSeen = 0
  /** No record below it may be missing anywhere, unless the database was put back. */
  storedSeen = 0
  epochSeen = 0
  hash = 0
  /** Steps of the schedule, and those in which all agents were up. */
  steps = 0
  upSteps = 0
  /** Why the daemon last refused to start, or stopped; for the end, where it must not. */
  lastFailure: unknown
  readonly #wiring: Wiring
  readonly #instruments: Instrument[] = []
  readonly #onEvent: ((text: string) => void) | undefined
  readonly #models: SubscriberModel[] = []
  /** Found within a call of the daemon; thrown at the next settle. */
  #violation: unknown
  #lastTradeId = 0

  constructor({ seed, wiring, onEvent }: WorldOptions) {
    this.random = new Random(seed)
    this.#wiring = wiring
    this.#onEvent = onEvent
    this.disk = new SimulatedDisk(this.random)
    this.postgres = new SimulatedPostgres(this.clock, this.random)
    this.settings = chooseSettings(this.random)
    this.pushers = Array.from({ length: 1 + this.random.below(3) }, (_, i) => {
      return new Pusher(`PUSH${i}`, this.random, () => ++this.#lastTradeId)
    })
  }

  readonly symbolOf = (instrument: number): string =>
    this.#instruments[instrument - 1]?.symbol ?? ''

  note(event: string, value = 0): void {
    this.hash = (Math.imul(this.hash ^ value ^ event.length, 0x01000193) + event.charCodeAt(0)) | 0
    this.#onEvent?.(`${this.clock.monoMs().toFixed(1)} ${event} ${value}`)
  }

  get acknowledgedCount(): number {
    return this.pushers.reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0)
  }

  readonly ends = { killed: 0, power_lost: 0 }
  /** What subscribers saw, those that are gone included. */
  readonly subscriberStats = () => ({
    subscribers: this.#models.length,
    received: this.#models.reduce((sum, { received }) => sum + received, 0),
    declared: this.#models.reduce((sum, { declared }) => sum + declared, 0),
    overrun: this.#models.reduce((sum, { overrun }) => sum + overrun, 0),
  })

  // The daemon.

  /** A new life, unless one is there or the start is refused. */
  start(): boolean {
    if (this.daemon !== undefined) return false
    const disk = this.disk.process()
    try {
      this.daemon = new Daemon({
        disk,
        postgres: this.postgres,
        clock: this.clock,
        random: this.random,
        wiring: this.#wiring,
        settings: this.settings,
        instruments: this.#instruments,
        log: this.#log(),
      })
    } catch (thrown) {
      disk.die()
      this.lastFailure = thrown
      this.note(`start refused: ${errorText(thrown)}`)
      if (disk.isEnded) this.#losePower()
      return false
    }
    const { epoch, firstSeq } = this.daemon.memory
    this.note('start', firstSeq)
    check('each start has a new epoch', epoch > this.epochSeen, () => {
      return `epoch ${epoch} follows ${this.epochSeen}`
    })
    check('what was durable is there after a restart', firstSeq >= this.durableSeen, () => {
      return `recovered up to ${firstSeq}, and ${this.durableSeen} were durable`
    })
    this.epochSeen = epoch
    // What recovery found it has made durable: stores may read it at once.
    this.durableSeen = firstSeq
    this.published.begin(firstSeq)
    // Of what is damaged at a start, nobody knows that it was pushed.
    const knownFrom = this.isDamaged ? firstSeq : this.daemon.memory.oldest.load()
    for (const pusher of this.pushers) pusher.forget((id) => this.published.isBelow(id, knownFrom))
    return true
  }

  /** A duty cycle of one agent. Returns the work done. */
  turn(stage: SimulatedStage): number {
    const { daemon } = this
    if (daemon === undefined || stage === this.stalled) return 0
    const work = daemon.turn(stage)
    if (stage === 'decode') this.published.take(daemon.tap)
    if (stage === 'journal') this.#lookAtDurable(daemon)
    if (work > 0) this.note(stage, work)
    if (daemon.isEnded) this.kill()
    else if (daemon.failure !== undefined) this.fail(daemon.failure)
    return work
  }

  /** The daemon stops: it cannot go on. */
  fail(thrown: unknown): void {
    this.lastFailure = thrown
    this.note(`stopped: ${errorText(thrown)}`)
    this.kill()
  }

  turnAll(): number {
    let work = 0
    for (const stage of STAGES) work += this.turn(stage)
    return work
  }

  /** Ends the daemon as kill -9 does, or with the power. */
  kill(): void {
    const { daemon } = this
    if (daemon === undefined) return
    this.daemon = undefined
    this.note('killed')
    daemon.die()
    this.postgres.abandonAll()
    this.subscribers.length = 0
    this.#losePower()
  }

  #losePower(): void {
    this.disk.callsToEnd = 0
    this.ends[this.losesPower ? 'power_lost' : 'killed']++
    if (this.losesPower) this.disk.loseUnsynced()
    this.losesPower = false
  }

  // The others.

  push(mayBegin = true): void {
    const pusher = this.pushers[this.random.below(this.pushers.length)] as Pusher
    const web = this.daemon?.web
    const isSent = pusher.act((key, body, onEnd) => {
      const guarded: typeof onEnd = (answer) => this.#guard(() => onEnd(answer))
      return web?.post('/v1/ticks', 'source=push', key, body, guarded) ?? false
    }, mayBegin)
    if (isSent) this.note('push', pusher.batches.length)
  }

  /** The venue sends a frame. */
  venue(): void {
    const count = 1 + this.random.below(VENUE_TICKS_MAX)
    const lines = Array.from({ length: count }, () => tradeLine(VENUE_SYMBOL, ++this.#lastTradeId))
    this.daemon?.agents.venue?.receive(Buffer.from(`${lines.join('\n')}\n`))
    this.note('venue', count)
  }

  subscribe(): void {
    if (this.subscribers.length >= SUBSCRIBERS_MAX) return
    const pattern = this.random.below(2) === 0 ? '*' : (this.pushers[0] as Pusher).symbol
    const model = new SubscriberModel({
      published: this.published,
      pattern,
      symbolOf: this.symbolOf,
    })
    const socket = this.daemon?.web?.connect({
      onMessage: (text) => this.#guard(() => model.onMessage(text)),
      onClose: () => model.onClose(),
    })
    if (socket === undefined) return
    this.note('subscribe', this.subscribers.length)
    this.#models.push(model)
    this.subscribers.push({ model, socket })
    socket.say({ op: 'subscribe', channel: 'trades', symbols: [pattern] })
  }

  /** A subscriber reads a few messages. */
  read(count = 1 + this.random.below(8)): void {
    for (const { socket } of this.subscribers) this.note('read', socket.read(count))
    for (let i = this.subscribers.length - 1; i >= 0; i--) {
      if (this.subscribers[i]?.model.isOpen === false) this.subscribers.splice(i, 1)
    }
  }

  cutSubscriber(): void {
    const index = this.random.below(SUBSCRIBERS_MAX)
    this.subscribers[index]?.socket.cut()
    this.subscribers.splice(index, 1)
  }

  database(): number {
    const work = this.postgres.turn()
    const stored = this.postgres.position(0)
    check('stored is durable', stored <= this.durableSeen, () => {
      return `the database is at ${stored}, and ${this.durableSeen} are durable`
    })
    this.storedSeen = Math.max(this.storedSeen, stored)
    if (work > 0) this.note('database', stored)
    return work
  }

  /** Lets what is asynchronous in the daemon get as far as it can without time or data. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#violation !== undefined) throw this.#violation
  }

  /** Within a call of the daemon, which would take a violation for a failure of its own. */
  #guard(look: () => void): void {
    try {
      look()
    } catch (thrown) {
      this.#violation ??= thrown
    }
  }

  #lookAtDurable({ memory }: Daemon): void {
    const durable = memory.durable.load()
    check('the durable position never goes back', durable >= this.durableSeen, () => {
      return `${durable} after ${this.durableSeen}`
    })
    this.durableSeen = durable
  }

  #log(): Log {
    const note = (fields: object, message: string) => {
      this.#onEvent?.(`  ${message} ${JSON.stringify(fields)}`)
    }
    return {
      debug: note,
      info: note,
      warn: note,
      error: (fields, message) => {
        note(fields, message)
        if (message === DAMAGED) this.damaged.push(fields as DamagedRange)
        if (!message.startsWith('records left the journal')) return
        const { from, to } = fields as { from: number; to: number }
        this.lost.push([from, to])
      },
    }
  }
}

function chooseSettings(random: Random): LifeSettings {
  const oneOf = (choices: readonly number[]) => choices[random.below(choices.length)] as number
  const segmentBytes = oneOf([1024, 2048, 4096, 8192])
  const retainBytes = oneOf([0, 4096, 16_384, 1_000_000])
  const blockTicks = oneOf([1, 4, 16, 64])
  // A segment has one block at least, however large: three such must fit, as in the schema.
  const segmentBytesMax = Math.max(segmentBytes, (blockTicks + SEGMENT_HEADERS) * TICK_BYTES)
  const bytesMin = Math.max(3 * segmentBytesMax, retainBytes)
  return {
    segmentBytes,
    retainBytes,
    bytesMax: oneOf([bytesMin, bytesMin + 8192, 2 ** 50]),
    blockTicks,
    syncIntervalMs: oneOf([0, 5, 20, 100]),
    syncBytes: oneOf([256, 1024, 4096]),
    retainMs: oneOf([0, 50, 1000, 1_000_000]),
    batchRows: oneOf([3, 16, 64, 200]),
    frameTicks: oneOf([1, 4, 16, 64]),
    subscriberBufferBytes: oneOf([1024, 4096, 16_384]),
  }
}
