// The benches in smoke mode: they run, verify their results, and report what they must.

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { BENCHES } from '../../bench/catalog.ts'
import { redisBinary } from '../support/redis.ts'

const BENCH = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))
const REPORT = fileURLToPath(new URL('../../bench/report.ts', import.meta.url))
const noRedis = redisBinary === undefined && 'there is no redis-server on PATH'
const execute = promisify(execFile)

async function bench(args: string[]): Promise<string> {
  const all = ['--disable-warning=ExperimentalWarning', BENCH, ...args]
  return (await execute(process.execPath, all, { timeout: 240_000 })).stdout
}

t.setTimeout(300_000)

const MACHINE = { node: /^v22/, cores: Number, kernels: /js|native/ }

async function smoke(name: string, ...args: string[]) {
  const report = JSON.parse(await bench([name, '--smoke', '--json', ...args]))
  t.match(report, { bench: name, machine: MACHINE, stolenPercent: Number })
  t.ok(report.stolenPercent >= 0 && report.stolenPercent <= 100)
  return report
}

t.test('--list names the benches', async (t) => {
  const list = await bench(['--list'])
  for (const { name } of BENCHES) {
    t.match(list, new RegExp(`^${name} +\\S`, 'm'))
  }
})

t.test('an unknown bench, and a size that is no number, are refused', async (t) => {
  await t.rejects(bench(['nonsense']), { code: 2 })
  await t.rejects(bench(['ring', '--smoke', '--ticks', 'many']), { code: 2, stderr: /^--ticks / })
})

t.test('e2e runs and verifies', { timeout: 300_000 }, async (t) => {
  const report = await smoke('e2e')
  t.match(report, {
    rounds: [{ ticksPerSecond: Number, yardstickRowsPerSecond: Number, ratio: Number }],
    feed: { delivered: Number, declaredMissed: Number },
  })
  const { feed, pushedTicks, subscribers } = report
  t.equal(feed.delivered + feed.declaredMissed, pushedTicks * subscribers)
})

t.test('e2e-js does the same with the JS kernels', { timeout: 300_000 }, async (t) => {
  const { machine, rounds } = await smoke('e2e-js', '--subscribers', '0', '--ticks', '20000')
  t.equal(machine.kernels, 'js')
  t.ok(rounds[0].ratio > 0)
})

t.test('ring runs and verifies, and its sizes are options', async (t) => {
  const { cases, ticks, goals } = await smoke('ring', '--rounds', '1', '--ticks', '100000')
  t.equal(ticks, 100_000)
  t.match(cases[0], { perSecond: [Number], yardstickPerSecond: [Number] })
  t.match(goals, [{ what: String, value: Number, bound: 100 }])
})

t.test('journal runs and verifies', async (t) => {
  const { rounds } = await smoke('journal')
  t.match(rounds[0], { ticksPerSecond: Number, yardstickPerSecond: Number, ratio: Number })
})

t.test('redis runs and verifies', { skip: noRedis }, async (t) => {
  const { rounds, instruments } = await smoke('redis')
  t.match(rounds[0], { flushMs: Number, yardstickMs: Number, agentCpuMsPerFlush: Number })
  t.equal(Math.round(rounds[0].keysPerFlush), instruments)
})

t.test('fanout runs and verifies', async (t) => {
  const { cases } = await smoke('fanout')
  const [{ tickd, bare }] = cases[0].rounds
  t.ok(tickd.recordsPerSecond > 0)
  t.equal(tickd.bytes, bare.bytes)
})

t.test('latency runs and verifies', { timeout: 300_000 }, async (t) => {
  const { rounds, idlePercent } = await smoke('latency')
  const { tickd, relay } = rounds[0]
  t.equal(tickd.latency.count, relay.latency.count)
  t.ok(tickd.latency.p50Us > 0 && tickd.latency.p50Us <= tickd.latency.p99Us)
  t.type(idlePercent, 'number')
})

t.test('soak runs, and the books balance', { timeout: 300_000 }, async (t) => {
  const { balance, samples, subscribers } = await smoke('soak', '--seconds', '3')
  t.equal(balance.rows, balance.sent)
  t.equal(balance.delivered + balance.declared, balance.sent * subscribers)
  t.equal(samples.length, 3)
})

t.test('subscribers runs, and each has what it asked for', async (t) => {
  const { rounds, kibPerSubscriber, idle, ...sizes } = await smoke('subscribers')
  const { without, with: stalled } = rounds[0]
  for (const { latency, declared, recordsPerSecond } of [without, stalled]) {
    t.ok(latency.p50Us > 0 && latency.p50Us <= latency.p99Us)
    t.ok(recordsPerSecond > 0)
    t.ok(declared >= 0)
  }
  t.match(kibPerSubscriber, { connected: Number, afterLoad: Number })
  t.equal(idle.connected, sizes.idleSubscribers)
  t.type(idle.cpuPercent, 'number')
})

/** Those without a test of their own here. */
const OWN = ['ring', 'journal', 'e2e', 'redis', 'fanout', 'latency', 'subscribers', 'soak']
for (const { name } of BENCHES.filter((each) => !OWN.includes(each.name))) {
  t.test(`${name} runs and verifies`, async (t) => {
    const { rounds } = await smoke(name)
    t.ok(rounds === undefined || rounds.length > 0)
  })
}

t.test('a report is written from a run, and keeps what was not run again', async (t) => {
  const directory = t.testdir()
  const report = async (name: string) => {
    const options = ['--smoke', '--directory', directory]
    const all = ['--disable-warning=ExperimentalWarning', REPORT, name, ...options]
    await execute(process.execPath, all)
  }
  await report('ring')
  await report('journal')
  const [file = ''] = readdirSync(directory).filter((name) => name.endsWith('.md'))
  const text = readFileSync(join(directory, file), 'utf8')
  t.match(text, /^\| ring \| ring, gated, batches of 256 \| [\d.]+ M records\/s \| ≥ 100 \|/m)
  t.match(text, /^## ring$/m)
  t.match(text, /^## journal$/m)
})
