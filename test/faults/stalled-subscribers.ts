// Scenario: of 50 subscribers one never reads and one reads a byte a second. The others notice
// nothing, and the daemon's memory stays bounded.
//
// The same load, for some rounds with those two as two more that read, and for some with them as
// they are, in turn; the others' p99 of the two is compared.

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { median } from '../../bench/bench.ts'
import { Crew } from '../../bench/crew.ts'
import type { LoadTask, RunOrder, Sample } from '../../bench/live-load.ts'
import { DaemonProcess } from '../support/daemon.ts'
import type { Scenario } from './scenario.ts'

const GROUP_US = 1000
const POLL_MS = 20
const DELIVERED_MS_MAX = 60_000
const RATIO_GOAL = 1.1
const RSS_GROWTH_MIB_MAX = 64
/** Fewer pairs of rounds than this say nothing of a ratio. */
const JUDGED_ROUNDS_MIN = 3
const TRICKLE_MS = 1000
const MASKED = 0x80
const TEXT_FRAME = 0x81

export const stalledSubscribers: Scenario = {
  name: 'stalled-subscribers',
  summary: 'one of 50 never reads, one reads 1 byte/s: the others and the memory do not notice',
  full: { subscribers: 50, rate: 20_000, seconds: 15, rounds: 5 },
  smoke: { subscribers: 8, rate: 2000, seconds: 2, rounds: 1 },
  run,
}

async function run(
  sizes: Readonly<Record<string, number>>,
  print: (text: string) => void,
): Promise<boolean> {
  const { subscribers = 0, rate = 0, seconds = 0, rounds = 0 } = sizes
  const daemon = await DaemonProcess.start({
    config: { sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }] },
  })
  const endDaemon = () => process.kill(daemon.pid, 'SIGKILL')
  process.once('exit', endDaemon)
  const address = { ...daemon.listening('push'), url: daemon.address('feed') }
  const task: LoadTask = { target: 'tickd', ...address, subscribers: subscribers - 2 }
  const load = await Crew.process('./live-load.ts', [JSON.stringify(task)])
  const order: RunOrder = {
    op: 'run',
    rate,
    ticks: rate * seconds,
    groupUs: GROUP_US,
    warmupTicks: Math.min(rate, (rate * seconds) / 2),
  }
  const without: number[] = []
  const withThem: number[] = []
  const rssMib: number[] = []
  for (let round = 0; round < 2 * rounds; round++) {
    const isStalled = round % 2 === 1
    const two = await Promise.all([
      RawSubscriber.open(address.url, isStalled ? 'never' : 'all'),
      RawSubscriber.open(address.url, isStalled ? 'trickle' : 'all'),
    ])
    const { latency } = await runOnce(load, order)
    ;(isStalled ? withThem : without).push(latency.p99Us)
    rssMib.push(residentMib(daemon.pid))
    for (const one of two) one.close()
    print(
      `${isStalled ? 'with' : 'without'}: p50 ${latency.p50Us} µs, p99 ${latency.p99Us} µs, ` +
        `daemon ${Math.round(rssMib.at(-1) ?? 0)} MiB`,
    )
  }
  const { tally, ticks } = await load.ask<Sample>({ op: 'sample' })
  await load.end()
  process.removeListener('exit', endDaemon)
  await daemon.stop()
  const isWhole = tally.holes === 0 && tally.records + tally.declared === ticks * (subscribers - 2)
  print(`the others: ${tally.records} delivered, ${tally.declared} declared, ${tally.holes} holes`)
  return judge(without, withThem, rssMib, print) && isWhole
}

async function runOnce(load: Crew, order: RunOrder): Promise<Sample> {
  await load.ask(order)
  const endMs = performance.now() + (order.ticks / order.rate) * 1000 + DELIVERED_MS_MAX
  while (!(await load.ask<boolean>({ op: 'done' }))) {
    if (performance.now() > endMs) throw new Error('the others did not get all in time')
    await delay(POLL_MS)
  }
  return await load.ask<Sample>({ op: 'sample' })
}

function judge(
  without: readonly number[],
  withThem: readonly number[],
  rssMib: readonly number[],
  print: (text: string) => void,
): boolean {
  const ratio = median(withThem) / median(without)
  const isJudged = without.length >= JUDGED_ROUNDS_MIN
  // The first two have warmed the daemon up.
  const growth = isJudged ? Math.max(...rssMib.slice(2)) - Math.max(...rssMib.slice(0, 2)) : 0
  const isMet = !isJudged || (ratio <= RATIO_GOAL && growth <= RSS_GROWTH_MIB_MAX)
  const verdict = isJudged ? (isMet ? 'met' : 'NOT MET') : 'too short to judge'
  print(`p99 with / without: ${ratio.toFixed(2)} (goal ≤ ${RATIO_GOAL}); ${verdict}`)
  print(`memory after the first two rounds: ${growth.toFixed(0)} MiB more (goal ≤ 64)`)
  return isMet
}

/** A subscriber that is a bare socket: reads everything, nothing, or a byte a second. */
class RawSubscriber {
  readonly #socket: Socket
  #trickle: NodeJS.Timeout | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  static async open(url: string, way: 'all' | 'never' | 'trickle'): Promise<RawSubscriber> {
    const { hostname, port, host, pathname } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const subscriber = new RawSubscriber(socket)
    socket.on('error', () => {})
    await new Promise<void>((resolve) => socket.once('connect', resolve))
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n` +
        'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
        'Sec-WebSocket-Protocol: tickd.v1.fb\r\n\r\n',
    )
    // Node reads ahead of 'readable' by little more than this: the kernel's buffers hold the rest.
    await new Promise<void>((resolve) => socket.once('readable', resolve))
    socket.write(textFrame({ op: 'subscribe', channel: 'trades', symbols: ['*'], slow: 'gap' }))
    if (way === 'all') socket.on('data', () => {})
    if (way === 'trickle') {
      subscriber.#trickle = setInterval(() => socket.read(1), TRICKLE_MS)
    }
    return subscriber
  }

  close(): void {
    clearInterval(this.#trickle)
    this.#socket.destroy()
  }
}

/** A message of a client, masked with zeroes. */
function textFrame(message: object): Buffer {
  const payload = Buffer.from(JSON.stringify(message))
  const mask = Buffer.alloc(4)
  return Buffer.concat([Buffer.from([TEXT_FRAME, MASKED | payload.length]), mask, payload])
}

function residentMib(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}
