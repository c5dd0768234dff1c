// The conformance suite of the feed against the daemon, and what we ship for subscribers: the Node
// client, the client in a browser, the Python example. All against docs/protocol.md.

import { readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { READ_ALL } from '../../src/serve/access/grant.ts'
import { changeKeyFile, generateKey, hashKey } from '../../src/serve/access/key-file.ts'
import { CASES, ELSEWHERE } from '../feed/cases.ts'
import { ERRORS_ELSEWHERE } from '../feed/refusals.ts'
import { type ShippedSubscriber, SUBSCRIBERS, type SubscriberRecord } from '../feed/subscribers.ts'
import { type FeedCase, Skip, Target } from '../feed/target.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const PAGE = readFileSync(resolve(import.meta.dirname, '../../docs/protocol.md'), 'utf8')
const RECORDS = 300
t.setTimeout(180_000)

t.test('every section, MUST and error number of the page has a case', async (t) => {
  const covered = new Set([...CASES.map(({ section }) => section), ...Object.keys(ELSEWHERE)])
  for (const [, heading = ''] of PAGE.matchAll(/^###? (.+)$/gm)) {
    t.ok(covered.has(heading), `section ${heading}`)
  }
  const words = CASES.flatMap(({ must = [] }) => must)
  const prose = PAGE.replaceAll(/\s+/g, ' ')
  for (const word of words) t.ok(prose.includes(word), `the page still says: ${word}`)
  for (const sentence of prose.split(/(?<=[.;:]) /)) {
    if (!/\bMUST\b/.test(sentence)) continue
    t.ok(
      words.some((word) => sentence.includes(word)),
      sentence,
    )
  }
  const numbers = new Set(CASES.flatMap(({ errors = [] }) => errors))
  const listed = /^## Errors$([\s\S]*?)^## /m.exec(PAGE)?.[1] ?? ''
  for (const [, code] of listed.matchAll(/^\| (\d{4}) \|/gm)) {
    const isCovered = numbers.has(Number(code)) || Object.hasOwn(ERRORS_ELSEWHERE, Number(code))
    t.ok(isCovered, `error ${code}`)
  }
})

interface Ground {
  readonly daemon: DaemonProcess
  readonly target: () => Target
}

/** A daemon with trades; `key`: it demands one, and this is it. */
async function start(t: Test, key?: string): Promise<Ground> {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  if (key !== undefined) allow(stateDir, key)
  const daemon = await DaemonProcess.start({
    stateDir,
    config: {
      access: { keys: key !== undefined },
      sources: [
        { name: 'synthetic', type: 'synthetic', rate: 2000 },
        { name: 'push', type: 'http' },
      ],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  if (key === undefined) keepBooks(t, daemon)
  return { daemon, target: () => new Target(daemon.address('feed'), key) }
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

function allow(stateDir: string, key: string): void {
  const [, id = ''] = key.split('_')
  const hash = hashKey(key).toString('hex')
  const created = new Date().toISOString()
  const fresh = { id, name: 'all', hash, created, expires: null, revoked: null, grant: READ_ALL }
  changeKeyFile(join(stateDir, 'keys.json'), (keys) => [...keys, fresh])
}

/** Most of a case is waiting for what comes once a second: they wait together. */
async function keepsPage(t: Test, cases: readonly FeedCase[], { target }: Ground): Promise<void> {
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

t.test('a daemon that demands nothing keeps the page, and our subscribers agree', async (t) => {
  const ground = await start(t)
  const cases = CASES.filter(({ needsKey }) => needsKey !== true)
  await keepsPage(t, cases, ground)
  await subscribersAgree(t, SUBSCRIBERS, ground)
})

t.test('a daemon that demands a key, likewise', async (t) => {
  const ground = await start(t, generateKey().key)
  const cases = CASES.filter(
    ({ needsKey, section }) => needsKey === true || section === 'Connecting',
  )
  await keepsPage(t, cases, ground)
  const one = SUBSCRIBERS.filter(({ name }) => !/msgpack|json/.test(name))
  await subscribersAgree(t, one, ground)
})
