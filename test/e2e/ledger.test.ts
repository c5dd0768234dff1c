// The ledger of the real daemon: exact numbers, `tickd ledger` and its exit codes, a kill, a loss.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { LedgerReport } from '../../src/ledger/ledger.ts'
import type { InterruptedLine, MinuteLine } from '../../src/ledger/minute.ts'
import type { Incident } from '../../src/ops/incidents.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const SETTLE_MS = 20_000
const GOOD = 500
const EVER = '1970-01-01T00:00:00Z'

const stateDir = makeStateDir()
t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))

function config(postgres: 'embedded' | 'off') {
  return {
    sources: [
      { name: 'push', type: 'tcp', listen: { port: 0 } },
      { name: 'post', type: 'http' },
    ],
    postgres: { mode: postgres },
    redis: { mode: 'off' },
  }
}

/** Lines of every fate; trade ids from `firstId` on. */
function lines(firstId: number): string {
  const time = new Date().toISOString().replace('Z', '000000Z')
  const trade = (id: number, size = '1', price = '1.5') =>
    `{"type":"trade","venue":"x","symbol":"AAA-USD","ts_event":"${time}","id":"${id}",` +
    `"side":"buy","price":"${price}","size":"${size}"}`
  const good = Array.from({ length: GOOD }, (_, i) => trade(firstId + i))
  const repeats = good.slice(0, 3)
  const quarantined = [trade(firstId + 5000, '0'), trade(firstId + 5001, '0')]
  const rejected = ['{', '[]', trade(firstId + 5002, '1', 'x')]
  const ignored = ['', '', '', '']
  return `${[...good, ...repeats, ...quarantined, ...rejected, ...ignored].join('\n')}\n`
}

const FATES = {
  messages: { total: GOOD + 12, decoded: GOOD + 5, ignored: { empty: 4 } },
  records: {
    total: GOOD + 5,
    accepted: GOOD,
    duplicate: 3,
    quarantined: { zero_trade_size: 2 },
  },
}

async function pushTcp(daemon: DaemonProcess, text: string): Promise<void> {
  const { host, port } = daemon.listening('push')
  const socket = connect(port, host)
  socket.resume()
  socket.end(text)
  await once(socket, 'close')
}

async function report(daemon: DaemonProcess, query = ''): Promise<LedgerReport> {
  const response = await fetch(`${daemon.address('http')}/v1/ledger${query}`)
  return (await response.json()) as LedgerReport
}

async function until(
  daemon: DaemonProcess,
  test: (report: LedgerReport) => boolean,
): Promise<LedgerReport> {
  const deadline = Date.now() + SETTLE_MS
  for (;;) {
    const now = await report(daemon)
    if (test(now) || Date.now() > deadline) return now
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function tickd(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const command = ['--disable-warning=ExperimentalWarning', MAIN, 'ledger', ...args]
    execFile(process.execPath, command, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

async function incidents(daemon: DaemonProcess): Promise<Incident[]> {
  const response = await fetch(`${daemon.address('http')}/v1/incidents`)
  return ((await response.json()) as { incidents: Incident[] }).incidents
}

t.test('every line that was pushed is in the ledger, by its fate', async (t) => {
  const daemon = await DaemonProcess.start({ stateDir, config: config('embedded') })
  const url = daemon.address('http')
  await pushTcp(daemon, lines(10_000))
  const answer = await fetch(`${url}/v1/ticks`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines(20_000),
  })
  t.equal(answer.status, 200)
  const settled = await until(daemon, (now) => now.stores['postgres-0']?.rows === 2 * GOOD)
  for (const source of ['push', 'post']) {
    const one = settled.totals.sources[source]
    t.match(one, FATES, source)
    const { received, decoded } = one?.frames ?? { received: 0, decoded: -1 }
    t.equal(received, decoded, 'frames received = decoded')
    t.ok(received > 0)
    const rejected = Object.values(one?.messages.rejected ?? {}).reduce((sum, n) => sum + n, 0)
    t.equal(rejected, 3)
  }
  t.match(settled, {
    ok: true,
    stores: {
      'journal-0': { position: 2 * GOOD, lag: 0 },
      'postgres-0': { position: 2 * GOOD, lag: 0, rows: 2 * GOOD },
      'latest-0': { lag: 0 },
    },
    subscribers: [],
    subscribers_ok: true,
  })
  const check = await tickd('--check', '--url', url)
  t.same(check, { code: 0, stdout: 'balanced\n', stderr: '' })
  const text = await tickd('--url', url, '--source', 'post')
  t.match(text.stdout, /post +\d+ +0 +0 +512 +4 +3 +505 +500 +3 +2/)
  t.notMatch(text.stdout, / push /)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /^tickd_ledger_imbalance 0$/m)
  t.same(await incidents(daemon), [])
  t.equal((await fetch(`${url}/v1/ledger?since=yesterday`)).status, 400)
  t.equal((await fetch(`${url}/v1/ledger?source=nobody`)).status, 400)
  t.equal(await daemon.stop(), 0)
})

t.test('of a stopped daemon the book is read, and its last minute is whole', async (t) => {
  const { code, stdout } = await tickd('--dir', stateDir, '--json')
  t.equal(code, 0)
  const { ok, lines: book } = JSON.parse(stdout) as { ok: boolean; lines: MinuteLine[] }
  t.equal(ok, true)
  t.equal(book[0]?.type as string, 'start')
  const minutes = book.slice(1)
  t.equal(minutes.at(-1)?.end, 'stop')
  const sum = minutes.reduce((all, { shards }) => all + (shards[0]?.accepted ?? 0), 0)
  t.equal(sum, 2 * GOOD, 'the minutes add up to what was accepted')
})

t.test('kill -9 leaves the closed minutes, and the next start says what it took', async (t) => {
  const daemon = await DaemonProcess.start({ stateDir, config: config('off') })
  await pushTcp(daemon, lines(30_000))
  await until(daemon, (now) => now.stores['journal-0']?.position === 3 * GOOD)
  await daemon.kill()
  const next = await DaemonProcess.start({ stateDir, config: config('off') })
  const { lines: book, ok } = await report(next, `?since=${EVER}`)
  const accepted = book.reduce(
    (sum, line) => sum + (line.type === 'minute' ? (line.shards[0]?.accepted ?? 0) : 0),
    0,
  )
  const interrupted = book.filter((line): line is InterruptedLine => line.type === 'interrupted')
  t.equal(interrupted.length, 1)
  const unknown = interrupted[0]?.shards[0]?.records ?? 0
  t.equal(accepted + unknown, 3 * GOOD, 'closed minutes and what the journal holds: all')
  t.ok(accepted >= 2 * GOOD, 'minutes of the first run are kept')
  t.equal(ok, true, 'unknown is not lost')
  t.match(await incidents(next), [{ kind: 'ledger_interrupted', severity: 'warning' }])
  t.equal((await tickd('--check', '--url', next.address('http'))).code, 0)
  t.equal(await next.stop(), 0)
})

t.test('a journal that is gone is an imbalance: exit code 1, and an incident', async (t) => {
  rmSync(join(stateDir, 'journal'), { recursive: true })
  const daemon = await DaemonProcess.start({ stateDir, config: config('off') })
  const { code, stdout } = await tickd('--check', '--url', daemon.address('http'))
  t.equal(code, 1)
  t.match(
    stdout,
    /^IMBALANCE \S+ journal_start of shard 0: \d+ \(durable 1500, .*another_journal 1\)$/m,
  )
  const raised = (await incidents(daemon)).filter(({ kind }) => kind === 'ledger_imbalance')
  t.match(raised, [
    { severity: 'critical', evidence: { check: 'journal_start', counts: { durable: 3 * GOOD } } },
  ])
  t.equal(await daemon.stop(), 0)
  t.equal((await tickd('--check', '--dir', stateDir)).code, 1, 'the book says so as well')
  const since = new Date(Date.now() + 1000).toISOString()
  t.equal((await tickd('--check', '--dir', stateDir, '--since', since)).stdout, 'balanced\n')
})

t.test('wrong usage is exit code 2, and no daemon exit code 1', async (t) => {
  t.equal((await tickd('--dir', stateDir, '--watch')).code, 2)
  t.equal((await tickd('--since', 'soon')).code, 2)
  t.equal((await tickd('--dir', join(stateDir, 'nowhere'))).code, 2)
  const unheard = await tickd('--url', 'http://127.0.0.1:1')
  t.equal(unheard.code, 1)
  t.match(unheard.stderr, /no daemon answers/)
})
