// The benches in smoke mode: they run, verify their results, and report what they must.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const BENCH = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))
const execute = promisify(execFile)

async function bench(args: string[]): Promise<string> {
  const all = ['--disable-warning=ExperimentalWarning', BENCH, ...args]
  return (await execute(process.execPath, all, { timeout: 240_000 })).stdout
}

t.setTimeout(300_000)

t.test('--list names the benches', async (t) => {
  t.match(await bench(['--list']), /^e2e +\S/m)
})

t.test('an unknown bench is refused', async (t) => {
  await t.rejects(bench(['nonsense']), { code: 2 })
})

t.test('e2e runs and verifies', { timeout: 300_000 }, async (t) => {
  const report = JSON.parse(await bench(['e2e', '--smoke', '--json']))
  t.match(report, {
    bench: 'e2e',
    machine: { node: /^v22/, cores: Number, kernels: /js|native/ },
    rounds: [{ ticksPerSecond: Number, yardstickRowsPerSecond: Number, ratio: Number }],
    feed: { delivered: Number, declaredMissed: Number },
  })
  t.equal(report.feed.delivered + report.feed.declaredMissed, report.ticks * report.subscribers)
})
