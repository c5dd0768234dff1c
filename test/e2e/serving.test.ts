// Several threads serve on one port: connections spread evenly, what is pushed and what is owed is
// accounted for over all of them, and the end of one is nothing to the subscribers of the others.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { systemAddon } from '../../src/native/addon.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { type DataFrame, FeedClient } from '../support/feed-client.ts'
import { Pusher, tradeLine } from '../support/pusher.ts'
import { ask, eventually, ofThreads, threadOfClient } from '../support/serving.ts'

const THREADS = 3
/** Connections of the test of evenness. */
const MANY = 400
/**
 * From the mean, in standard deviations of a binomial of MANY and 1 / THREADS: one of the counts is
 * beyond it once in a hundred million times.
 */
const DEVIATIONS = 6
/** A thread is cut down so long after the start. */
const CUT_MS = 8000
t.setTimeout(240_000)

const skip =
  process.platform !== 'linux'
    ? 'a port is shared on Linux only'
    : systemAddon() === undefined
      ? 'the native addon is not built'
      : false

async function start(t: Test, faults = '', stateDir?: string): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start({
    ...(stateDir === undefined ? {} : { stateDir }),
    env: faults === '' ? {} : { TICKD_TEST_FAULTS: faults, TICKD_TEST_FAULTS_ALLOWED: 'yes' },
    config: {
      serve: { listen: { port: 0 }, threads: THREADS },
      sources: [
        { name: 'synthetic', type: 'synthetic', rate: 1000 },
        { name: 'push', type: 'http' },
      ],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.kill())
  return daemon
}

/** A subscriber of each thread, by thread. */
async function oneOfEach(t: Test, daemon: DaemonProcess): Promise<FeedClient[]> {
  const clients: FeedClient[] = []
  for (let tries = 0; clients.filter(Boolean).length < THREADS; tries++) {
    if (tries > 100) throw new Error('the kernel leaves a thread out')
    const client = await FeedClient.open(daemon.address('feed'), 'tickd.v1.json')
    const thread = await threadOfClient(client, THREADS)
    if (clients[thread] === undefined) clients[thread] = client
    else client.close()
    t.teardown(() => client.close())
  }
  return clients
}

/** The id of each trade, by its sequence. Throws where one is missing or there twice. */
function tradesOf(frames: readonly DataFrame[]): Map<number, unknown> {
  const trades = new Map<number, unknown>()
  for (const { firstSeq, records } of frames) {
    records.forEach((record, i) => {
      const seq = firstSeq + i
      if (trades.has(seq)) throw new Error(`${seq} came twice`)
      trades.set(seq, record.id)
    })
  }
  const seqs = [...trades.keys()]
  const hole = seqs.findIndex((seq, i) => i > 0 && seq !== (seqs[i - 1] as number) + 1)
  if (hole > 0) throw new Error(`a hole before ${seqs[hole]}`)
  return trades
}

function isReady(daemon: DaemonProcess): () => Promise<boolean> {
  return async () => (await ask(daemon, '/readyz')).status === 200
}

async function isBalanced(daemon: DaemonProcess): Promise<boolean> {
  const { body } = await ask(daemon, '/v1/ledger')
  const report = JSON.parse(body) as { ok: boolean; subscribers_ok: boolean }
  return report.ok && report.subscribers_ok
}

t.test('connections are spread by the kernel, and counted by thread', { skip }, async (t) => {
  const daemon = await start(t)
  const clients: FeedClient[] = []
  for (let i = 0; i < MANY; i += 20) {
    const some = Array.from({ length: 20 }, () => FeedClient.open(daemon.address('feed')))
    clients.push(...(await Promise.all(some)))
  }
  t.teardown(() => {
    for (const client of clients) client.close()
  })
  const mean = MANY / THREADS
  const bound = DEVIATIONS * Math.sqrt(mean * (1 - 1 / THREADS))
  const counts = await ofThreads(daemon, 'tickd_serve_subscribers', THREADS)
  t.comment(`${counts} of ${MANY}`)
  t.equal(
    counts.reduce((sum, count) => sum + count),
    MANY,
  )
  for (const count of counts) t.ok(Math.abs(count - mean) <= bound, `${count} is near ${mean}`)
  const told = await Promise.all(clients.map((client) => threadOfClient(client, THREADS)))
  const byThread = counts.map((_, thread) => told.filter((each) => each === thread).length)
  t.same(byThread, counts, 'and each says in its greeting by whom it is served')
  const sessions = clients.map(({ controls }) => controls[0]?.session)
  t.equal(new Set(sessions).size, MANY, 'the names of sessions are unique')
  const connections = await ofThreads(daemon, 'tickd_serve_connections', THREADS)
  t.ok(connections.every((count, i) => count >= (counts[i] as number)))

  const { body } = await ask(daemon, '/v1/ledger')
  const report = JSON.parse(body) as { subscribers: { session: string }[] }
  t.same(
    new Set(report.subscribers.map(({ session }) => session)),
    new Set(sessions),
    'the ledger has the subscribers of all threads, whoever answers',
  )
  for (const client of clients) client.close()
  t.equal(await daemon.stop(), 0, daemon.output())
})

t.test('what is pushed by any thread comes to the subscribers of each', { skip }, async (t) => {
  const daemon = await start(t)
  const clients = await oneOfEach(t, daemon)
  await Promise.all(
    clients.map((client) => client.subscribe({ channel: 'trades', symbols: ['x:*'] })),
  )
  const posts = 60
  for (let id = 1; id <= posts; id++) {
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': `b${id}` }
    const body = `${tradeLine(id)}\n`
    const { status, body: answer } = await ask(daemon, '/v1/ticks', {
      method: 'POST',
      headers,
      body,
    })
    t.equal(status, 200)
    t.match(JSON.parse(answer), { accepted: 1, rejected: 0, repeated: 0 })
    if (id % 10 > 0) continue
    const again = await ask(daemon, '/v1/ticks', { method: 'POST', headers, body })
    t.match(JSON.parse(again.body), { accepted: 0, repeated: 1 }, 'known, whoever takes it')
  }
  const frames = await ofThreads(daemon, 'tickd_source_frames_total', THREADS)
  t.comment(`frames by thread: ${frames}`)
  t.ok(
    frames.every((count) => count > 0),
    'each has pushed',
  )
  const all = Array.from({ length: posts }, (_, i) => [i + 1, String(i + 1)])
  for (const client of clients) {
    await client.until(() => tradesOf(client.frames).size === posts, 'all trades')
    t.same([...tradesOf(client.frames)], all, 'all, in the same order and numbers')
  }
  await eventually(() => isBalanced(daemon), 'the balance')
  const { body } = await ask(daemon, '/v1/ledger')
  t.match(JSON.parse(body), {
    totals: { sources: { push: { frames: { received: posts + posts / 10, in_flight: 0 } } } },
  })
  t.equal(await daemon.stop(), 0, daemon.output())
})

t.test('a subscriber goes on with another thread, exactly where it was', { skip }, async (t) => {
  const daemon = await start(t)
  const clients = await oneOfEach(t, daemon)
  const [first] = clients as [FeedClient]
  await first.subscribe({ channel: 'trades', symbols: ['synthetic:*'] })
  await first.until(() => first.frames.length > 20, 'trades')
  const { epoch } = first.frames[0] as DataFrame
  first.close()
  await once(first.ws, 'close')
  const seen = tradesOf(first.frames)
  // From the tenth on, so that what it has already is compared.
  const from = { epoch, seq: [...seen.keys()][10] as number }
  for (const [thread, client] of clients.entries()) {
    if (thread === 0) continue
    await client.subscribe({ channel: 'trades', symbols: ['synthetic:*'], from })
    await client.until(() => tradesOf(client.frames).size > seen.size + 200, 'what was missed')
    const again = tradesOf(client.frames)
    t.equal([...again.keys()][0], from.seq)
    const common = [...again].filter(([seq]) => seen.has(seq))
    t.ok(common.length >= seen.size - 10)
    t.ok(
      common.every(([seq, id]) => seen.get(seq) === id),
      'the same trades under the same numbers',
    )
  }
  t.equal(await daemon.stop(), 0, daemon.output())
})

t.test('and behind a restart of the daemon', { skip }, async (t) => {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const before = await start(t, '', stateDir)
  const client = await FeedClient.open(before.address('feed'), 'tickd.v1.json')
  await client.subscribe({ channel: 'trades', symbols: ['synthetic:*'] })
  await client.until(() => client.frames.length > 100, 'trades')
  t.equal(await before.stop(), 0, before.output())
  const seen = tradesOf(client.frames)
  const { epoch } = client.frames[0] as DataFrame
  const from = { epoch, seq: [...seen.keys()][10] as number }

  const daemon = await start(t, '', stateDir)
  for (const again of await oneOfEach(t, daemon)) {
    await again.subscribe({ channel: 'trades', symbols: ['synthetic:*'], from })
    await again.until(() => again.frames.some((frame) => frame.epoch > epoch), 'what is new')
    const old = tradesOf(again.frames.filter((frame) => frame.epoch === epoch))
    t.same([...old].slice(0, seen.size - 10), [...seen].slice(10), 'all of the epoch before')
    tradesOf(again.frames.filter((frame) => frame.epoch > epoch))
  }
  t.equal(await daemon.stop(), 0, daemon.output())
})

t.test('the end of a thread is nothing to the others', { skip }, async (t) => {
  const daemon = await start(t, `serve-1:cut@${CUT_MS}`)
  const clients = await oneOfEach(t, daemon)
  for (const client of clients) await client.subscribe({ channel: 'trades', symbols: ['*'] })
  const pusher = new Pusher({
    address: () => daemon.address('http'),
    source: 'push',
    batchTrades: 20,
  })
  const pushing = pusher.run()
  const [, cut] = clients as [FeedClient, FeedClient]
  await eventually(async () => cut.closed !== undefined, 'the end of a thread')
  const { epoch } = cut.frames[0] as DataFrame
  const last = tradesOf(cut.frames)
  const atEnd = pusher.acknowledged
  const { client: again } = await reopen(t, daemon, { epoch, seq: Math.max(...last.keys()) + 1 })
  await eventually(isReady(daemon), 'all threads again')
  await eventually(async () => pusher.acknowledged > atEnd + 500, 'acknowledgements go on')
  pusher.stop()
  await pushing
  await again.until(() => again.frames.length > 50, 'trades')
  const views = clients.map(({ frames }, thread) => {
    return thread === 1 ? tradesOf([...frames, ...again.frames]) : tradesOf(frames)
  })
  const [view] = views as [Map<number, unknown>]
  for (const [thread, other] of views.entries()) {
    const common = [...other].filter(([seq]) => view.has(seq))
    t.ok(common.length > 1000, `${common.length} trades`)
    t.ok(
      common.every(([seq, id]) => view.get(seq) === id),
      `${thread}: without a hole, and the same`,
    )
  }
  t.ok(
    clients.every(({ closed }, thread) => (closed !== undefined) === (thread === 1)),
    'nobody else was closed',
  )
  // A thread made anew is one of those that take connections.
  const anew = await oneOfEach(t, daemon)
  t.equal(anew.length, THREADS)
  const sessions = [...clients, again, ...anew].map(({ controls }) => controls[0]?.session)
  t.equal(new Set(sessions).size, sessions.length, 'no name of a session is given twice')
  await eventually(() => isBalanced(daemon), 'the balance')
  t.match(
    (await ask(daemon, '/metrics')).body,
    /^tickd_thread_deaths_total\{thread="serve-1"\} 1$/m,
  )
  t.equal(await daemon.stop(), 0, daemon.output())
})

/** A connection that is reset, as its thread has just ended, is tried again. */
async function reopen(t: Test, daemon: DaemonProcess, from: object) {
  for (;;) {
    const client = new FeedClient(daemon.address('feed'), ['tickd.v1.json'])
    t.teardown(() => client.close())
    const isOpen = once(client.ws, 'open').then(() => true)
    const isClosed = once(client.ws, 'close').then(() => false)
    if (!(await Promise.race([isOpen, isClosed]).catch(() => false))) continue
    await client.subscribe({ channel: 'trades', symbols: ['*'], from })
    return { client }
  }
}
