// The same input bytes give the same records, on one thread or on one for each agent.

import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const RECORDS = 20_000
const execute = promisify(execFile)
t.setTimeout(180_000)

async function tickd(args: string[]): Promise<string> {
  const all = ['--disable-warning=ExperimentalWarning', MAIN, ...args]
  return (await execute(process.execPath, all, { maxBuffer: 2 ** 28 })).stdout
}

/** Replays the file under this threading; the journal as text, receive times left out. */
async function journalUnder(threads: unknown, path: string): Promise<string[]> {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const daemon = await DaemonProcess.start({
    stateDir,
    config: {
      threads,
      sources: [{ name: 'file', type: 'replay', venue: 'ndjson', format: 'raw', paths: [path] }],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  const deadline = Date.now() + 60_000
  const isDone = async () => {
    const metrics = await (await fetch(`${daemon.address('http')}/metrics`)).text()
    const [, count = '0'] = /tickd_journal_records_total\{shard="0"\} (\d+)/.exec(metrics) ?? []
    return Number(count) >= RECORDS
  }
  while (!(await isDone()) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.equal(await daemon.stop(), 0)
  const dump = await tickd(['journal', 'dump', stateDir])
  return dump
    .trimEnd()
    .split('\n')
    .map((line) => JSON.stringify({ ...JSON.parse(line), ts_recv: null }))
}

t.test('compact, dedicated and hand-made threading give the same journal', async (t) => {
  const directory = makeStateDir()
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'ticks.ndjson')
  const args = ['generate', '--mode', 'historical', '--count', String(RECORDS), '--seed', '11']
  writeFileSync(path, await tickd(args))
  const compact = await journalUnder('compact', path)
  t.equal(compact.length, RECORDS)
  const table = {
    a: ['source', 'decode', 'serve'],
    b: ['journal', 'aggregate', 'postgres', 'redis'],
  }
  for (const threads of ['dedicated', table]) {
    const other = await journalUnder(threads, path)
    t.equal(other.length, compact.length)
    const wrong = other.findIndex((line, i) => line !== compact[i])
    t.equal(wrong, -1, 'every record, in order, to the last field')
  }
})
