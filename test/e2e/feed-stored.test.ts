// Going back further than the journal: what it has removed comes out of PostgreSQL, in the same
// sequences, and on into the journal and what is live.

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { CASES } from '../feed/cases.ts'
import { Target } from '../feed/target.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { type DataFrame, FeedClient } from '../support/feed-client.ts'
import { startPostgres, type TestPostgres } from '../support/postgres.ts'

const FB = 'tickd.v1.fb'
const WAIT_MS = 60_000
t.setTimeout(180_000)

const stateDir = makeStateDir()
let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.teardown(async () => {
  await postgres.stop()
  rmSync(stateDir, { recursive: true, force: true })
})

async function start(t: Test): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start({
    stateDir,
    config: {
      journal: { segment_bytes: 524_288, retain_bytes: 1_048_576, bytes_max: 1_073_741_824 },
      postgres: { mode: 'external', url: postgres.url, connect_timeout_ms: 2000 },
      redis: { mode: 'off' },
      sources: [{ name: 'synthetic', type: 'synthetic', rate: 8000 }],
    },
  })
  t.teardown(() => daemon.kill())
  return daemon
}

async function clientFor(t: Test, daemon: DaemonProcess): Promise<FeedClient> {
  const client = await FeedClient.open(daemon.address('feed'), FB)
  t.teardown(() => client.close())
  return client
}

/** Sequence of the oldest record that the journal has. */
function oldestSeq(): number {
  const names = readdirSync(join(stateDir, 'journal', 'shard-0'))
  const seqs = names.flatMap((name) => /^(\d+)\./.exec(name)?.[1] ?? []).map(Number)
  return Math.min(...seqs)
}

async function until(test: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!test()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** By epoch and sequence: what the record says, of which no two are alike. */
function recordsOf(frames: readonly DataFrame[]): Map<string, string> {
  const records = new Map<string, string>()
  for (const { epoch, firstSeq, batch } of frames) {
    for (let i = 0; i < (batch?.count ?? 0); i++) {
      const at = i * TICK_WORDS
      const { words } = batch as NonNullable<typeof batch>
      const said = [WORD.ts_recv, WORD.p0, WORD.p1, WORD.p2].map((word) => {
        return readNumber(words, at + word)
      })
      records.set(`${epoch} ${firstSeq + i}`, `${words[at + WORD.instrument]} ${said.join(' ')}`)
    }
  }
  return records
}

/** Each frame begins where the last one ended; a new epoch at 1. */
function isDense(frames: readonly DataFrame[]): boolean {
  let [epoch, next] = [frames[0]?.epoch ?? 0, frames[0]?.firstSeq ?? 0]
  return frames.every((frame) => {
    const wanted = frame.epoch === epoch ? next : 1
    epoch = frame.epoch
    next = frame.firstSeq + frame.count
    return frame.firstSeq === wanted
  })
}

t.test('an early time: every record once, in order, then what is live', async (t) => {
  const seen: FeedClient[] = []
  const watch = async (daemon: DaemonProcess) => {
    const client = await clientFor(t, daemon)
    const { epoch } = await client.op('welcome')
    const from = { epoch, seq: 1 }
    t.match(await client.ask({ op: 'subscribe', channel: 'trades', from }), { op: 'ack' })
    seen.push(client)
    return { client, epoch: epoch as number }
  }
  const first = await start(t)
  const one = await watch(first)
  await until(() => oldestSeq() > 20_000, 'the journal to remove what it had')
  await first.kill()
  const daemon = await start(t)
  const two = await watch(daemon)
  const begin = oldestSeq()
  await until(() => oldestSeq() > begin + 30_000, 'the journal to remove the first start, too')

  const client = await clientFor(t, daemon)
  let crc = 0
  let isDone = false
  client.ws.on('message', (data: Buffer, isBinary) => {
    if (isBinary && !isDone) crc = crc32(data, crc)
    else if (!isBinary && JSON.parse(data.toString()).op === 'replay_completed') isDone = true
  })
  const early = { ts: '2020-01-01T00:00:00Z' }
  const ack = await client.ask({ op: 'subscribe', channel: 'trades', from: early })
  t.match(ack, { op: 'ack', next_seq: null, replay: true })
  await client.until(() => isDone, 'the end of the replay')
  const done = await client.op('replay_completed')
  t.equal(done.digest, crc.toString(16).padStart(8, '0'))
  const before = client.all.slice(0, client.all.indexOf(done)).filter((each) => 'firstSeq' in each)
  t.equal(done.count, recordsOf(before as DataFrame[]).size, 'none twice')
  const epochs = client.controls.filter(({ op }) => op === 'epoch')
  t.match(epochs, [
    { epoch: one.epoch, next_seq: 1 },
    { epoch: two.epoch, next_seq: 1 },
  ])
  const frameCount = client.frames.length
  await client.until(() => client.frames.length > frameCount + 3, 'what is live')
  t.ok(isDense(client.frames), 'no hole, from the first record to what is live')

  const replayed = recordsOf(client.frames)
  const live = recordsOf(seen.flatMap(({ frames }) => frames))
  const wrong = [...replayed].filter(([name, said]) => live.has(name) && live.get(name) !== said)
  t.same(wrong.slice(0, 3), [], 'the very records, under the very names')
  const endSeq = two.client.frames[0]?.firstSeq ?? 0
  const isKnown = (name: string) => live.has(name) || !name.startsWith(`${two.epoch} `)
  t.ok([...replayed.keys()].slice(0, 20_000).every(isKnown))
  t.equal(endSeq, 1)
  const shared = [...replayed.keys()].filter((name) => live.has(name)).length
  t.ok(shared > 10_000, `${shared} records compared`)

  t.test('a sequence of an earlier start, and a time in the middle', async (t) => {
    const from = { epoch: one.epoch, seq: 1001 }
    const again = await clientFor(t, daemon)
    t.match(await again.ask({ op: 'subscribe', channel: 'trades', from }), { next_seq: 1001 })
    await again.until(() => again.frames.length > 20, 'records')
    t.match(again.frames[0], { epoch: one.epoch, firstSeq: 1001 })
    const found = recordsOf(again.frames.slice(0, 20))
    t.same([...found].filter(([name, said]) => replayed.get(name) !== said).slice(0, 3), [])
    again.close()
    const middle = [...recordsOf(one.client.frames)][5000] as [string, string]
    const ns = BigInt(Math.round(Number(middle[1].split(' ')[1])))
    const timed = await clientFor(t, daemon)
    const ts = new Date(Number(ns / 1_000_000n)).toISOString()
    await timed.subscribe({ channel: 'trades', from: { ts } })
    await timed.until(() => timed.frames.length > 0, 'records')
    const [name] = [...recordsOf(timed.frames)][0] as [string, string]
    const at = (text: string) => Number(text.split(' ')[1])
    t.ok(at(name) <= at(middle[0]) && at(name) > at(middle[0]) - 2000, `${name} for ${middle[0]}`)
  })

  t.test('a part of it, beside what is live', async (t) => {
    const again = await clientFor(t, daemon)
    const stream = await again.subscribe({ channel: 'trades' })
    again.send({ op: 'fill', id: 'f', stream, epoch: one.epoch, from: 500, to: 699 })
    const filled = await again.control(({ op, id }) => op === 'replay_completed' && id === 'f')
    t.equal(filled.count, 200)
    const frames = again.frames.filter(({ epoch }) => epoch === one.epoch)
    t.same(recordsOf(frames), new Map([...replayed].slice(499, 699)))
  })

  t.test('a day that was dropped is told where it begins', async (t) => {
    await postgres.psql('DELETE FROM tickd.trade WHERE seq = 300')
    await postgres.psql('DELETE FROM tickd.quote WHERE seq = 300')
    const again = await clientFor(t, daemon)
    again.send({ op: 'subscribe', id: 's', channel: 'trades', from: early })
    const error = await again.control(({ op }) => op === 'error')
    t.match(error, { id: 's', name: 'replay_aged_out', code: 2007, msg: /record 300/ })
  })

  t.test('without the server it is said, with a number, and life goes on', async (t) => {
    await postgres.server.stop()
    const again = await clientFor(t, daemon)
    again.send({ op: 'subscribe', id: 's', channel: 'trades', from: early })
    const error = await again.control(({ op }) => op === 'error')
    t.match(error, { id: 's', name: 'store_unavailable', code: 2012, retry_after_ms: 1000 })
    const stream = await again.subscribe({ channel: 'trades' })
    await again.until(() => again.recordCount(stream) > 0, 'what is live')
    const target = new Target(daemon.address('feed'))
    t.teardown(() => target.close())
    const cases = CASES.filter(({ needs }) => needs === 'away')
    for (const each of cases) await t.resolves(each.run(target), each.name)
    t.equal(cases.length, 1)
  })
})
