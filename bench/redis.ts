// Latest values into Redis, at a low and a high rate of ticks, beside a bare pipeline of SETs.
//
//   table thread ─[latest table]─▶ RedisAgent ─pipeline, each flush─▶ redis-server (unix socket)
//   10 k or 1 M ticks/s            this thread        HSET + XADD      own process
//
// Every instrument has changed at every flush, at either rate: so a flush must cost the same. Its
// cost is CPU time, of this thread and of the server; wall time, from the duty cycle that began it
// to the last reply. Yardstick: as many SETs in one ioredis pipeline, to the same server, between
// flushes. Verified: at the end each instrument's hash in Redis has the last tick of the table.

import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { LatestTable } from '../src/aggregate/latest-table.ts'
import { SystemClock } from '../src/clock.ts'
import { configSchema } from '../src/config/schema.ts'
import { counterNames } from '../src/ops/counter-catalog.ts'
import { CounterSet } from '../src/ops/counters.ts'
import { silentLog } from '../src/ops/log.ts'
import { RedisAgent } from '../src/storage/redis/agent.ts'
import { InstrumentTable } from '../src/tick/instruments.ts'
import { breakerBoard } from '../test/support/breaker-board.ts'
import { startRedis, type TestRedis } from '../test/support/redis.ts'
import {
  atMost,
  type Bench,
  type BenchOptions,
  figureText,
  goalsText,
  headText,
  median,
  type Report,
} from './bench.ts'
import { runMsOfMainThread } from './cpu.ts'
import { Crew } from './crew.ts'
import type { TableAnswer, TableTask } from './redis-worker.ts'

/** A power of two, for the instrument table. */
const CAPACITY = 16_384
/** A hundredfold rate may cost so much more: what is left is noise of a shared machine. */
const GOAL_COST_RATIO = 1.5
const DRAIN_MS_MAX = 10_000

type Size = 'rounds' | 'instruments' | 'slowRate' | 'fastRate' | 'flushes'

interface Round {
  readonly rate: number
  /** Ticks that the table thread wrote in a second. */
  readonly ratePerSecond: number
  readonly keysPerFlush: number
  /** Medians of the flushes of the round. */
  readonly flushMs: number
  readonly yardstickMs: number
  /** Of this thread, in the agent's duty cycles and what they started. */
  readonly agentCpuMsPerFlush: number
  /** Of the server's main thread. */
  readonly serverCpuMsPerFlush: number
}

export const redisBench: Bench<Size> = {
  name: 'redis',
  summary: 'Latest values into Redis: the cost of a flush at two rates, beside bare SETs',
  full: { rounds: 5, instruments: 1000, slowRate: 10_000, fastRate: 1_000_000, flushes: 40 },
  smoke: { rounds: 1, instruments: 200, slowRate: 10_000, fastRate: 500_000, flushes: 5 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const redis = await startRedis()
  const client = await redis.client()
  const rig = await Rig.start(redis, options)
  const rounds: Round[] = []
  try {
    // The first round warms up, and is not counted.
    await runRound(rig, redis, client, options, options.slowRate)
    for (let round = 0; round < options.rounds; round++) {
      for (const rate of [options.slowRate, options.fastRate]) {
        rounds.push(await runRound(rig, redis, client, options, rate))
        options.progress(`${rate} ticks/s: ${rounds.at(-1)?.flushMs.toFixed(2)} ms a flush`)
      }
    }
    await verify(rig, client, options.instruments)
  } finally {
    await rig.end()
    client.disconnect()
    await redis.stop()
  }
  const { instruments, slowRate, fastRate, flushes } = options
  const cost = (rate: number) =>
    median(ofRate(rounds, rate).map((r) => r.agentCpuMsPerFlush + r.serverCpuMsPerFlush))
  const costRatio = cost(fastRate) / cost(slowRate)
  return {
    instruments,
    slowRate,
    fastRate,
    flushes,
    durability: 'none: a cache that is filled anew at each start',
    rounds,
    costRatio,
    goals: [atMost(GOAL_COST_RATIO, 'CPU of a flush, fast against slow ticks', costRatio)],
  }
}

function ofRate(rounds: readonly Round[], rate: number): Round[] {
  return rounds.filter((round) => round.rate === rate)
}

/** The agent on this thread, and the table's writer on another. */
class Rig {
  readonly instruments = new InstrumentTable(InstrumentTable.create(CAPACITY), CAPACITY)
  readonly counters = new CounterSet(counterNames('redis'))
  readonly flushMs: number
  readonly agent: RedisAgent
  nextSeq = 0
  readonly #table: Crew
  readonly #stop: Int32Array
  #woken: () => void = () => {}

  private constructor(redis: TestRedis, { table: latest, stop }: TableTask, table: Crew) {
    const config = configSchema.parse({}).redis
    this.flushMs = config.flush_ms
    this.#table = table
    this.#stop = new Int32Array(stop)
    this.agent = new RedisAgent({
      config,
      target: () => redis.target,
      latest: new LatestTable(latest, CAPACITY),
      // Ticks come all the time: there is always something new.
      notice: { arm: () => {}, isTaken: true },
      board: breakerBoard(),
      instruments: this.instruments,
      clock: new SystemClock(),
      log: silentLog,
      counters: this.counters,
      wake: () => this.#woken(),
    })
  }

  static async start(redis: TestRedis, options: BenchOptions<Size>): Promise<Rig> {
    const task: TableTask = {
      table: LatestTable.create(CAPACITY),
      capacity: CAPACITY,
      instruments: options.instruments,
      stop: new SharedArrayBuffer(4),
    }
    const rig = new Rig(redis, task, await Crew.thread('./redis-worker.ts', task))
    for (let i = 0; i < options.instruments; i++) rig.instruments.add('bench', `S${i}-USD`)
    await rig.agent.onStart()
    return rig
  }

  /** Ticks come at `rate`, until the function that this returns is called. */
  startTicks(rate: number): () => Promise<TableAnswer> {
    // Before the message is posted: the thread sees it.
    Atomics.store(this.#stop, 0, 0)
    const answer = this.#table.ask<TableAnswer>(rate)
    return async () => {
      // Pairs with the load in the thread's loop.
      Atomics.store(this.#stop, 0, 1)
      // Ends its sleep.
      Atomics.notify(this.#stop, 0)
      const { nextSeq } = await answer
      this.nextSeq = nextSeq
      return await answer
    }
  }

  /** One flush, when it is due: the milliseconds until Redis had answered all of it. */
  async flush(): Promise<number> {
    const flushes = this.counters.get('flushes')
    let beganMs = performance.now()
    while (this.agent.doWork() === 0) {
      await delay(1)
      beganMs = performance.now()
    }
    while (this.counters.get('flushes') === flushes) {
      if (this.counters.get('failures') > 0) throw new Error('the agent lost its Redis')
      await new Promise<void>((resolve) => {
        this.#woken = resolve
      })
    }
    return performance.now() - beganMs
  }

  async drain(): Promise<void> {
    const deadlineMs = performance.now() + DRAIN_MS_MAX
    while (!this.agent.drain()) {
      this.agent.doWork()
      await delay(1)
      if (performance.now() > deadlineMs) throw new Error('the agent does not drain')
    }
  }

  async end(): Promise<void> {
    this.agent.onClose()
    await this.#table.end()
  }
}

async function runRound(
  rig: Rig,
  redis: TestRedis,
  client: Redis,
  options: BenchOptions<Size>,
  rate: number,
): Promise<Round> {
  const { instruments, flushes } = options
  const stopTicks = rig.startTicks(rate)
  const keysBefore = rig.counters.get('keys')
  const times: number[] = []
  const yardstickTimes: number[] = []
  let agentCpuUs = 0
  let serverCpuMs = 0
  await rig.flush()
  const keysFirst = rig.counters.get('keys') - keysBefore
  for (let flush = 0; flush < flushes; flush++) {
    await delay(rig.flushMs)
    const serverBefore = runMsOfMainThread(redis.server.pid)
    const cpuBefore = process.threadCpuUsage()
    times.push(await rig.flush())
    const cpu = process.threadCpuUsage(cpuBefore)
    agentCpuUs += cpu.user + cpu.system
    serverCpuMs += runMsOfMainThread(redis.server.pid) - serverBefore
    yardstickTimes.push(await bareSets(client, instruments))
  }
  const { ticks, ms } = await stopTicks()
  const keys = rig.counters.get('keys') - keysBefore - keysFirst
  if (keys < flushes * instruments * 0.99) {
    throw new Error(`${keys} values in ${flushes} flushes of ${instruments} instruments`)
  }
  return {
    rate,
    ratePerSecond: (ticks / ms) * 1000,
    keysPerFlush: keys / flushes,
    flushMs: median(times),
    yardstickMs: median(yardstickTimes),
    agentCpuMsPerFlush: agentCpuUs / 1000 / flushes,
    serverCpuMsPerFlush: serverCpuMs / flushes,
  }
}

/** Milliseconds for as many plain SETs in one pipeline. */
async function bareSets(client: Redis, count: number): Promise<number> {
  const pipeline = client.pipeline()
  const beganMs = performance.now()
  for (let i = 0; i < count; i++) pipeline.set(`bare:bench:S${i}-USD`, '20000.000000000')
  const replies = await pipeline.exec()
  const ms = performance.now() - beganMs
  if (replies?.length !== count) throw new Error('the yardstick got too few replies')
  return ms
}

/** Throws unless each instrument's hash has its last tick. */
async function verify(rig: Rig, client: Redis, instruments: number): Promise<void> {
  await rig.drain()
  for (let i = 0; i < instruments; i++) {
    const last = rig.nextSeq - 1 - ((rig.nextSeq - 1 - i) % instruments)
    const found = await client.hget(`tickd:latest:bench:S${i}-USD`, 'trade_id')
    if (found !== String(last)) throw new Error(`S${i}-USD is at ${found}, expected ${last}`)
  }
}

function text(report: Report): string {
  const rounds = report.rounds as Round[]
  let out = headText(
    report,
    `${report.instruments} changed instruments a flush, ${report.flushes} flushes a round`,
  )
  for (const rate of [report.slowRate, report.fastRate] as number[]) {
    const of = (field: keyof Round) => ofRate(rounds, rate).map((round) => round[field])
    out += `  at ${rate} ticks/s:\n`
    out += figureText('  ticks written', of('ratePerSecond'), 0, 'ticks/s')
    out += figureText('  values in a flush', of('keysPerFlush'), 0, '')
    out += figureText('  flush, until the last reply', of('flushMs'), 2, 'ms')
    out += figureText('  bare SETs, one pipeline', of('yardstickMs'), 2, 'ms')
    const times = ofRate(rounds, rate).map((round) => round.flushMs / round.yardstickMs)
    out += figureText('  flush against bare SETs', times, 2, 'times')
    out += figureText('  CPU of the agent in a flush', of('agentCpuMsPerFlush'), 2, 'ms')
    out += figureText('  CPU of the server in a flush', of('serverCpuMsPerFlush'), 2, 'ms')
  }
  const verified = '  verified: each hash has the last tick of its instrument\n'
  return out + verified + goalsText(report)
}
