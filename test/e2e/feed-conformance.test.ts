// The conformance suite of the feed against the daemon, and what we ship for subscribers: the Node
// client, the client in a browser, the Python example. All against docs/protocol.md.

import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { listSegments, segmentPath } from '../../src/journal/segment-files.ts'
import { KIB } from '../../src/limits.ts'
import { type Grant, READ_ALL } from '../../src/serve/access/grant.ts'
import { changeKeyFile, generateKey, hashKey } from '../../src/serve/access/key-file.ts'
import { CASES } from '../feed/cases.ts'
import { forgottenWords, rules } from '../feed/coverage.ts'
import { type ShippedSubscriber, SUBSCRIBERS, type SubscriberRecord } from '../feed/subscribers.ts'
import { type FeedCase, NEEDS, type Need, Skip, Target } from '../feed/target.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { until } from '../support/source-bench.ts'

const RECORDS = 300
t.setTimeout(180_000)

t.test('every section, MUST, error number and close code of the page has a case', async (t) => {
  for (const { kind, text, shownBy } of rules()) t.not(shownBy.length, 0, `${kind} ${text}`)
  t.same(forgottenWords(), [], 'the page still says what the cases are about')
  const needed = new Set(CASES.flatMap(({ needs = [] }) => needs))
  t.same([...needed].sort(), Object.keys(NEEDS).sort(), 'each need is one of a case')
})

interface Ground {
  readonly daemon: DaemonProcess
  readonly target: (token?: string) => Target
}

interface GroundOptions {
  /** Keys that it knows; it demands one where there are any. The first is the target's. */
  readonly keys?: ReadonlyMap<string, Grant>
  readonly source?: Record<string, unknown>
  readonly config?: Record<string, unknown>
}

/** A daemon with trades. */
async function start(t: Test, options: GroundOptions = {}): Promise<Ground> {
  const { keys = new Map<string, Grant>(), source = { rate: 2000 }, config } = options
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  for (const [key, grant] of keys) allow(stateDir, key, grant)
  const daemon = await DaemonProcess.start({
    stateDir,
    config: {
      access: { keys: keys.size > 0 },
      sources: [
        { name: 'synthetic', type: 'synthetic', ...source },
        { name: 'push', type: 'http' },
      ],
      // A segment is half a second of trades.
      journal: { segment_bytes: 64 * KIB },
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
      ...config,
    },
  })
  t.teardown(() => daemon.stop())
  if (keys.size === 0) keepBooks(t, daemon)
  const [first] = keys.keys()
  const end = () => daemon.stop()
  return { daemon, target: (token = first) => new Target(daemon.address('feed'), token, end) }
}

/** A book that changes, for as long as the test lasts. */
function keepBooks(t: Test, daemon: DaemonProcess): void {
  const url = new URL('/v1/ticks', daemon.address('http'))
  const head = { type: 'book', venue: 'test', symbol: 'BOOK-USD' }
  const line = (fields: object) => `${JSON.stringify({ ...head, ...fields })}\n`
  let step = 0
  const push = async () => {
    const ts = new Date().toISOString()
    const level = (side: string, price: number, size: number, flags = ['last']) => {
      const action = size === 0 ? 'delete' : 'set'
      return line({ ts_event: ts, side, price: `${price}`, size: `${size}`, action, flags })
    }
    const clear = line({
      ts_event: ts,
      side: 'none',
      price: null,
      size: null,
      action: 'clear',
      flags: [],
    })
    const at = 100 + (step % 7)
    const body =
      step === 0
        ? clear + level('buy', 99, 1, []) + level('sell', 120, 1)
        : level('buy', at, step % 3, []) + level('sell', at + 7 + (step % 2), step % 4)
    step++
    await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/x-ndjson' } })
  }
  let under: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    under = under.then(push).catch(() => {})
  }, 50)
  t.teardown(() => {
    clearInterval(timer)
    return under
  })
}

function allow(stateDir: string, key: string, grant: Grant): void {
  const [, id = ''] = key.split('_')
  const hash = hashKey(key).toString('hex')
  const created = new Date().toISOString()
  const fresh = { id, name: id, hash, created, expires: null, revoked: null, grant }
  changeKeyFile(join(stateDir, 'keys.json'), (keys) => [...keys, fresh])
}

/** Most of a case is waiting for what comes once a second: they wait together. */
async function keepsPage(t: Test, cases: readonly FeedCase[], target: () => Target): Promise<void> {
  const outcomes = cases.map(async ({ run }) => {
    const own = target()
    try {
      await run(own)
      return undefined
    } catch (error) {
      return error
    } finally {
      own.close()
    }
  })
  for (const [index, { section, name }] of cases.entries()) {
    const error = await outcomes[index]
    if (error instanceof Skip) t.fail(`${section}: ${name}: ${error.message}`)
    else t.error(error, `${section}: ${name}`)
  }
}

/** Each subscriber that we ship has what the server sent: from the first trade again, and live. */
async function subscribersAgree(
  t: Test,
  subscribers: readonly ShippedSubscriber[],
  { target }: Ground,
): Promise<void> {
  const reference = target()
  t.teardown(() => reference.close())
  const raw = await reference.open('tickd.v1.json')
  const ack = await raw.ask({ op: 'subscribe', channel: 'trades' })
  const stream = ack.stream as number
  await raw.until(() => raw.recordCount(stream) >= RECORDS, 'trades')
  const from = `${ack.epoch}:${raw.frames[0]?.firstSeq}`
  const isSame = (t: Test, records: readonly SubscriberRecord[]) => {
    t.equal(records.length, RECORDS)
    const sent = new Map<number, unknown>()
    for (const { firstSeq, records } of raw.frames) {
      records.forEach((record, i) => {
        sent.set(firstSeq + i, { ...record, seq: firstSeq + i })
      })
    }
    const expected = records.map(({ seq }) => sent.get(seq))
    t.same(records, expected, 'the same records')
    const first = records[0]?.seq ?? 0
    const isDense = records.every(({ seq }, i) => seq === first + i)
    t.ok(isDense, 'dense')
  }
  for (const { name, skip, read } of subscribers) {
    await t.test(name, { skip }, async (t) => {
      const again = await read(target(), 'trades', from, RECORDS)
      t.equal(again[0]?.seq, raw.frames[0]?.firstSeq, 'from where it asked')
      isSame(t, again)
      const live = await read(target(), 'trades', 'live', RECORDS)
      const last = live.at(-1)?.seq as number
      await raw.until(() => (raw.frames.at(-1)?.firstSeq ?? 0) > last, 'the same trades')
      isSame(t, live)
    })
  }
}

/** Cases that are for any daemon (undefined), or need one that is made for them. */
const needing = (need: Need | undefined) => CASES.filter(({ needs }) => needs === need)

const segmentsOf = ({ stateDir }: DaemonProcess) => {
  const directory = join(stateDir, 'journal', 'shard-0')
  return { directory, firstSeqs: listSegments(directory) }
}

/** Overwrites the middle of the oldest part of the journal. */
function damage(daemon: DaemonProcess): void {
  const { directory, firstSeqs } = segmentsOf(daemon)
  const file = openSync(segmentPath(directory, firstSeqs[0] as number), 'r+')
  writeSync(file, Buffer.alloc(4 * KIB, 0xa5), 0, 4 * KIB, 32 * KIB)
  closeSync(file)
}

t.test('a daemon that demands nothing keeps the page, and our subscribers agree', async (t) => {
  const ground = await start(t)
  await keepsPage(t, needing(undefined), ground.target)
  await subscribersAgree(t, SUBSCRIBERS, ground)
  damage(ground.daemon)
  for (const need of ['single', 'damage', 'alone', 'end'] as const) {
    await keepsPage(t, needing(need), ground.target)
  }
})

const notLinux = process.platform === 'linux' ? false : 'a port is shared on Linux only'
t.test('a daemon of which two threads serve, likewise', { skip: notLinux }, async (t) => {
  const { target } = await start(t, { config: { serve: { listen: { port: 0 }, threads: 2 } } })
  await keepsPage(t, needing(undefined), target)
})

t.test('a daemon that demands a key, likewise', async (t) => {
  const [all, narrow] = [generateKey().key, generateKey().key]
  const few: Grant = { ...READ_ALL, symbols: ['NO-SUCH-*'], limits: { subscriptions: 3 } }
  const ground = await start(t, {
    keys: new Map([
      [all, READ_ALL],
      [narrow, few],
    ]),
  })
  const connecting = CASES.filter(({ section, needs }) => {
    return section === 'Connecting' && needs === undefined
  })
  await keepsPage(t, [...needing('key'), ...connecting], ground.target)
  // One after the other: its subscriptions are counted over all connections.
  for (const each of needing('narrow')) await keepsPage(t, [each], () => ground.target(narrow))
  const one = SUBSCRIBERS.filter(({ name }) => !/msgpack|json/.test(name))
  await subscribersAgree(t, one, ground)
})

t.test('a daemon that keeps little, likewise', async (t) => {
  const symbols = Array.from({ length: 500 }, (_, i) => `S${i}-USD`)
  const { daemon, target } = await start(t, {
    source: { rate: 40_000, symbols },
    config: {
      journal: { segment_bytes: 64 * KIB, retain_ms: 0 },
      serve: { listen: { port: 0 }, subscriber_buffer_bytes: 64 * KIB },
    },
  })
  await until(() => (segmentsOf(daemon).firstSeqs[0] ?? 0) > 0, 'a journal that was cut')
  for (const need of ['cut', 'crowd', 'reader'] as const) {
    await keepsPage(t, needing(need), target)
  }
})
