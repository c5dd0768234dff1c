// A flood of malformed, truncated and hostile lines into the running daemon: it stays live, every
// line is counted, its memory stays bounded, and honest ticks still get through.
//
// TICKD_SEED repeats a run; TICKD_HOSTILE_LINES=1000000 makes it the full one.

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { DaemonProcess } from '../support/daemon.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const LINES = Number(process.env.TICKD_HOSTILE_LINES ?? 100_000)
const SEED = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))
const DEAD_LETTER_BYTES_MAX = 4 * 2 ** 20
/** Far above what the daemon needs, far below what keeping the flood would take. */
const RSS_GROWTH_BYTES_MAX = 400 * 2 ** 20

const execute = promisify(execFile)

/** Value of one metric line by its name and labels' text. */
function metric(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? Number.NaN)
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

t.setTimeout(300_000)

t.test(`${LINES} hostile lines, seed ${SEED}`, { timeout: 300_000 }, async (t) => {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'tcp', listen: { port: 0 } }],
      dead_letters: { bytes_max: DEAD_LETTER_BYTES_MAX },
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  const before = residentBytes(daemon.pid)
  const { host, port } = daemon.listening('push')
  const { stdout } = await execute(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    MAIN,
    'generate',
    ...['--mode', 'malformed', '--count', String(LINES), '--seed', String(SEED)],
    ...['--to', `tcp://${host}:${port}`, '--json'],
  ])
  t.comment(stdout.trim())
  await pushHonest(host, port)

  const scrape = async () => await (await fetch(`${daemon.address('http')}/metrics`)).text()
  const count = (text: string, name: string) => metric(text, `tickd_${name}_total{source="push"}`)
  let text = ''
  const deadline = Date.now() + 60_000
  do {
    text = await scrape()
  } while (count(text, 'decode_bytes') < count(text, 'source_bytes') && Date.now() < deadline)

  t.equal((await fetch(`${daemon.address('http')}/healthz`)).status, 200, 'live')
  t.equal(count(text, 'decode_bytes'), count(text, 'source_bytes'), 'every byte was decoded')
  const messages = count(text, 'decode_messages')
  t.ok(messages >= LINES, `every line was counted (${messages})`)
  const refused = sumOf(text, 'tickd_decode_rejected_') + sumOf(text, 'tickd_decode_ignored_')
  t.equal(count(text, 'decode_messages_decoded') + refused, messages, 'messages balance')
  t.ok(sumOf(text, 'tickd_decode_rejected_') > LINES / 10, 'hostile lines were refused')
  const fates = ['accepted', 'duplicate', 'quarantined'].map((fate) => {
    return count(text, `decode_records_${fate}`)
  })
  t.equal(
    fates.reduce((sum, n) => sum + n, 0),
    count(text, 'decode_records'),
    'records balance',
  )
  t.equal(count(text, 'decode_rejected_decoder_crash'), 0, 'no decoder crash')
  t.equal(count(text, 'decode_decoder_crashes'), 0)
  const latest = await (await fetch(`${daemon.address('http')}/v1/latest?symbol=HON-EST`)).text()
  t.match(latest, /"price":"1.5"/, 'the honest tick came through')
  const directory = join(daemon.stateDir, 'dead-letters', 'shard-0')
  const bytes = readdirSync(directory).reduce(
    (sum, name) => sum + statSync(join(directory, name)).size,
    0,
  )
  t.ok(bytes > 0 && bytes <= DEAD_LETTER_BYTES_MAX, `dead letters within the budget (${bytes})`)
  const growth = residentBytes(daemon.pid) - before
  t.ok(growth < RSS_GROWTH_BYTES_MAX, `memory bounded (grew ${Math.round(growth / 2 ** 20)} MiB)`)
})

/** Sum over all counters whose name begins so. */
function sumOf(text: string, prefix: string): number {
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(prefix)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

async function pushHonest(host: string, port: number): Promise<void> {
  const time = new Date().toISOString().replace('Z', '000000Z')
  const socket = connect(port, host)
  socket.end(
    `{"type":"trade","venue":"x","symbol":"HON-EST","ts_event":"${time}","id":"1","side":"buy",` +
      '"price":"1.5","size":"1"}\n',
  )
  socket.resume()
  await new Promise((resolve) => socket.on('close', resolve))
}
