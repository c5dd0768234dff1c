// Threads that hang, leak or are cut down at any instruction, under load: nothing that was
// acknowledged is lost, nothing is there twice, the counts balance, and the daemon serves on.

import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { systemAddon } from '../../src/native/addon.ts'
import { POISON } from '../../src/threads/test-faults.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { FeedClient } from '../support/feed-client.ts'
import { NotifySocket, noNotifySocket } from '../support/notify-socket.ts'
import { Pusher, tradeLine } from '../support/pusher.ts'

const HEAP_BYTES = 64 * 1024 * 1024
/** Long enough for a thread that is starved by other work on the machine. */
const HANG_MS = 4000
const SETTLE_MS = 60_000
/** From a cut until its thread is seen to be away. */
const THREAD_END_MS = 1000
t.setTimeout(240_000)
const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))
t.comment(`TICKD_SEED=${seed}`)
const skip = systemAddon() === undefined ? 'the native addon is not built' : false

interface Setting {
  readonly faults: string
  readonly threads?: unknown
  readonly postgres?: 'embedded' | 'off'
  readonly config?: object
  readonly env?: Record<string, string>
}

async function start(t: Test, setting: Setting): Promise<DaemonProcess> {
  const stateDir = makeStateDir()
  const daemon = await DaemonProcess.start({
    stateDir,
    env: {
      TICKD_TEST_FAULTS: setting.faults,
      TICKD_TEST_FAULTS_ALLOWED: 'yes',
      ...setting.env,
    },
    config: {
      threads: setting.threads ?? 'auto',
      postgres: { mode: setting.postgres ?? 'off' },
      redis: { mode: 'off' },
      sources: [
        { name: 'synthetic', type: 'synthetic', rate: 5000 },
        { name: 'push', type: 'http' },
      ],
      serve: { listen: { port: 0 }, threads: 2 },
      supervise: { hang_ms: HANG_MS, disk_hang_ms: HANG_MS, heap_bytes: HEAP_BYTES },
      ...setting.config,
    },
  })
  t.teardown(async () => {
    await daemon.kill()
    rmSync(stateDir, { recursive: true, force: true })
  })
  return daemon
}

function get(daemon: DaemonProcess, path: string): Promise<Response> {
  return fetch(`${daemon.address('http')}${path}`, { signal: AbortSignal.timeout(5000) })
}

async function metrics(daemon: DaemonProcess): Promise<Map<string, number>> {
  const text = await (await get(daemon, '/metrics')).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  )
}

function total(values: ReadonlyMap<string, number>, name: string): number {
  let sum = 0
  for (const [key, value] of values) {
    if (key === name || key.startsWith(`${name}{`)) sum += value
  }
  return sum
}

async function eventually(
  test: () => Promise<boolean>,
  what: string,
  daemon?: DaemonProcess,
): Promise<void> {
  const deadline = Date.now() + SETTLE_MS
  let trouble: unknown
  const look = () =>
    test().catch((error) => {
      trouble = error
      return false
    })
  while (!(await look())) {
    if (Date.now() > deadline)
      throw new Error(`not in time: ${what} (${trouble})\n${daemon?.output() ?? ''}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Until decode stands still. */
async function untilStuck(daemon: DaemonProcess): Promise<void> {
  const records = async () => total(await metrics(daemon), 'tickd_journal_records_total')
  const isStuck = async () => {
    const before = await records()
    await new Promise((resolve) => setTimeout(resolve, 300))
    return (await records()) === before && before > 0
  }
  await eventually(isStuck, 'decode stands still', daemon)
}

/** Pushes until `deaths` threads have died and all serve again; asserts what must hold then. */
async function assertSurvives(t: Test, daemon: DaemonProcess, deaths: number): Promise<void> {
  const pusher = new Pusher({
    address: () => daemon.address('http'),
    source: 'push',
    batchTrades: 50,
  })
  const pushing = pusher.run()
  const dead = async () => {
    // What a thread made anew reads of the counters is what its predecessor counted.
    return total(await metrics(daemon), 'tickd_thread_deaths_total') >= deaths
  }
  await eventually(dead, `${deaths} deaths`, daemon)
  const atDeaths = pusher.acknowledged
  await eventually(
    async () => pusher.acknowledged > atDeaths + 500,
    'acknowledgements go on',
    daemon,
  )
  pusher.stop()
  await pushing
  t.ok(pusher.acknowledged > 0)
  t.comment(`${pusher.acknowledged} acknowledged, ${pusher.retries} sent again`)
  const ready = async () => (await get(daemon, '/readyz')).status === 200
  await eventually(ready, 'readiness', daemon)
  await assertStored(t, daemon, pusher.acknowledged)
  await assertBalanced(t, daemon)
}

async function assertStored(t: Test, daemon: DaemonProcess, acknowledged: number): Promise<void> {
  const client = new Client({ connectionString: daemon.postgresUrl })
  await client.connect()
  try {
    const query =
      'SELECT count(*)::int4 AS n, count(DISTINCT trade_id)::int4 AS ids FROM tickd.trade ' +
      "WHERE instrument IN (SELECT id FROM tickd.instruments WHERE venue = 'x')"
    const count = async () => (await client.query(query)).rows[0] as { n: number; ids: number }
    await eventually(
      async () => (await count()).ids >= acknowledged,
      'all acknowledged are stored',
      daemon,
    )
    t.same(await count(), { n: acknowledged, ids: acknowledged }, 'each of them once')
    const twice = await client.query(
      'SELECT count(*)::int4 - count(DISTINCT (instrument, trade_id))::int4 AS n FROM tickd.trade',
    )
    t.equal(twice.rows[0]?.n, 0, 'nothing at all is there twice')
  } finally {
    await client.end()
  }
}

async function assertBalanced(t: Test, daemon: DaemonProcess): Promise<void> {
  const balanced = async () => {
    const report = (await (await get(daemon, '/v1/ledger')).json()) as {
      imbalances: unknown[]
    }
    return report.imbalances.length === 0
  }
  await eventually(balanced, 'the ledger balances', daemon)
  // A reading in the midst of a group has half of it; one between two groups has none.
  const whole = async () => {
    const apart = (await decodeSums(daemon)).filter(([all, parts]) => all !== parts)
    if (apart.length > 0) throw new Error(`of decode's counters, apart: ${apart.join('; ')}`)
    return true
  }
  await eventually(whole, 'the counters of decode add up', daemon)
  t.pass('nothing that was decoded is uncounted')
}

/** Pairs that are to be equal: messages, records and groups, and what became of them. */
async function decodeSums(daemon: DaemonProcess): Promise<[number, number][]> {
  const values = await metrics(daemon)
  const sum = (name: string) => total(values, `tickd_decode_${name}_total`)
  const refused = (prefix: string) =>
    [...values].reduce(
      (all, [key, n]) => all + (key.startsWith(`tickd_decode_${prefix}_`) ? n : 0),
      0,
    )
  const checked = sum('records_accepted') + sum('records_duplicate') + sum('records_quarantined')
  return [
    [sum('messages'), sum('messages_decoded') + refused('ignored') + refused('rejected')],
    [sum('records'), checked],
    [sum('groups_begun'), sum('groups')],
  ]
}

t.test('threads cut down at any instruction, one by one', { skip }, async (t) => {
  const roles = ['source', 'decode-0', 'journal-0', 'aggregate', 'serve', 'serve-1', 'postgres-0']
  let state = seed
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 2 ** 32
  }
  const rounds = 5
  const faults = Array.from({ length: rounds }, (_, round) =>
    roles.map((role) => `${role}:cut@${Math.floor(500 + round * 1500 + random() * 1500)}`),
  ).flat()
  const daemon = await start(t, {
    threads: 'dedicated',
    postgres: 'embedded',
    faults: faults.join(),
  })
  const startedMs = performance.now()
  const lastCutMs = Math.max(...faults.map((fault) => Number(fault.split('@')[1])))
  const feed = await FeedClient.open(`${daemon.address('feed')}`).catch(() => undefined)
  // Two cuts of one thread may fall into one life of it.
  await assertSurvives(t, daemon, (rounds - 1) * roles.length)
  feed?.close?.()
  // A thread that is cut down as the daemon stops leaves something undrained, and it says so.
  const isOver = async () => {
    if (performance.now() - startedMs < lastCutMs + THREAD_END_MS) return false
    return (await get(daemon, '/readyz')).status === 200
  }
  await eventually(isOver, 'the last cut', daemon)
  t.equal(await daemon.stop(), 0, daemon.output())
})

t.test('agents that hang, leak and throw, each found and made anew', { skip }, async (t) => {
  const faults = [
    'source:hang@1000',
    'decode-0:throw@500',
    'decode-0:hang@500',
    'decode-0:leak@500',
    'journal-0:hang@2000',
    'journal-0:throw@500',
    'aggregate:leak@1500',
    'postgres-0:hang@1500',
    'postgres-0:throw@500',
    'serve:hang@4000',
    'serve:leak@1000',
    'serve-1:hang@2000',
    'serve-1:throw@500',
    'serve-1:leak@700',
  ]
  const daemon = await start(t, {
    threads: 'dedicated',
    postgres: 'embedded',
    faults: faults.join(),
  })
  await assertSurvives(t, daemon, faults.filter((fault) => !fault.includes('throw')).length)
  const values = await metrics(daemon)
  t.ok(total(values, 'tickd_thread_hangs_total') >= 5)
  t.ok(total(values, 'tickd_agent_restarts_total') >= faults.length)
  t.equal(await daemon.stop(), 0, daemon.output())
})

for (const kind of ['hang', 'leak', 'throw']) {
  t.test(
    `a frame whose decoding does ${kind} is set aside at its third try`,
    { skip },
    async (t) => {
      const daemon = await start(t, { faults: `poison:${kind}` })
      const post = async (body: string) => {
        for (;;) {
          const response = await fetch(`${daemon.address('http')}/v1/ticks`, {
            method: 'POST',
            headers: {
              'content-type': 'application/x-ndjson',
              'idempotency-key': createHash('md5').update(body).digest('hex'),
            },
            body,
          }).catch(() => undefined)
          if (response?.ok) return (await response.json()) as Record<string, number>
          await response?.text()
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
      t.match(await post(`${tradeLine(1)}\n`), { accepted: 1 })
      await post(`${tradeLine(2).replace('AAA', POISON)}\n`)
      t.match(await post(`${tradeLine(3)}\n`), { accepted: 1 }, 'the next one is decoded')
      const values = await metrics(daemon)
      const crashed = 'tickd_decode_rejected_decoder_crash_total{source="push"}'
      t.ok(Number(values.get(crashed)) >= 1, 'it, and copies that were sent again')
      const ends = kind === 'throw' ? 'tickd_agent_restarts_total' : 'tickd_thread_deaths_total'
      t.equal(total(values, ends), 2)
      await assertBalanced(t, daemon)
      t.equal(await daemon.stop(), 0, daemon.output())
    },
  )
}

t.test('an agent that hangs while the daemon drains costs the deadline, no more', async (t) => {
  const config = { drain_ms: 1500, supervise: { hang_ms: 60_000 } }
  const daemon = await start(t, { faults: 'decode-0:hang@1000', config, threads: 'dedicated' })
  await untilStuck(daemon)
  const beganMs = performance.now()
  t.equal(await daemon.stop(), 1, 'not drained')
  t.ok(performance.now() - beganMs < 8000, 'within the deadline and the bounds of closing')
  const line = daemon.lines.find(({ msg }) => msg === 'not drained in time')
  t.match(line, { late: [/^decode-0/], recordsNotStored: 0 })
  t.ok(Number(line?.frameBytes) > 0, 'says what was left')
})

t.test('a second signal ends a drain that takes long', async (t) => {
  const config = { drain_ms: 60_000, supervise: { hang_ms: 600_000 } }
  const daemon = await start(t, { faults: 'decode-0:hang@1000', config, threads: 'dedicated' })
  await untilStuck(daemon)
  const stopping = daemon.stop()
  await daemon.waitFor(({ msg }) => msg === 'stopping: draining in order')
  let hasEnded = false
  void stopping.then(() => {
    hasEnded = true
  })
  const deadline = Date.now() + 10_000
  while (!hasEnded && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    try {
      process.kill(daemon.pid, 'SIGTERM')
    } catch {
      break
    }
  }
  t.equal(await stopping, 128)
  const isSaid = async () => daemon.stderr.includes('ended at once: a second signal')
  await eventually(isSaid, 'what is said last arrives after the end')
})

const skipNotify = skip || noNotifySocket()
t.test(
  'systemd hears that it is ready, lives, hangs, and stops',
  { skip: skipNotify },
  async (t) => {
    const socket = await NotifySocket.open(true)
    t.teardown(() => socket.close())
    const env = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '600000' }
    const daemon = await start(t, { faults: 'aggregate:hang@1500', threads: 'dedicated', env })
    await socket.until((line) => line.startsWith('READY=1|STATUS=running'))
    await socket.until((line) => line === 'WATCHDOG=1')
    await daemon.waitFor(({ msg }) => msg === 'thread ended; making it anew')
    const ready = async () => (await get(daemon, '/readyz')).status === 200
    await eventually(ready, 'readiness', daemon)
    t.equal(await daemon.stop(), 0, daemon.output())
    await socket.until((line) => line.startsWith('STOPPING=1|STATUS=draining|EXTEND_TIMEOUT_USEC='))
  },
)

t.test('faults on demand are refused where nobody allows them', async (t) => {
  const daemon = DaemonProcess.spawn({ env: { TICKD_TEST_FAULTS: 'decode-0:hang@1' } })
  t.equal(await daemon.exited(), 2)
  t.match(daemon.stderr, /TICKD_TEST_FAULTS_ALLOWED=yes/)
})
