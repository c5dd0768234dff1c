// The conformance suite of the feed against the daemon, and what we ship for subscribers: the Node
// client, the client in a browser, the Python example. All against docs/protocol.md.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { CASES, ELSEWHERE } from '../feed/cases.ts'
import { ERRORS_ELSEWHERE } from '../feed/refusals.ts'
import { SUBSCRIBERS, type SubscriberRecord } from '../feed/subscribers.ts'
import { Skip, Target } from '../feed/target.ts'
import { DaemonProcess } from '../support/daemon.ts'
import { FeedClient } from '../support/feed-client.ts'

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

t.test('against the daemon', async (t) => {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'synthetic', type: 'synthetic', rate: 2000 }],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  const url = daemon.address('feed')

  await t.test('the page is kept', async (t) => {
    // Most of a case is waiting for what comes once a second: they wait together.
    const outcomes = CASES.map(async ({ run }) => {
      const target = new Target(url)
      try {
        await run(target)
        return undefined
      } catch (error) {
        return error
      } finally {
        target.close()
      }
    })
    for (const [index, { section, name }] of CASES.entries()) {
      const error = await outcomes[index]
      if (error instanceof Skip) t.fail(`${section}: ${name}: ${error.message}`)
      else t.error(error, `${section}: ${name}`)
    }
  })

  await t.test('each subscriber has what the server sent, live and again', async (t) => {
    const raw = await FeedClient.open(url, 'tickd.v1.json')
    t.teardown(() => raw.close())
    const ack = await raw.ask({ op: 'subscribe', channel: 'trades' })
    const stream = ack.stream as number
    await raw.until(() => raw.recordCount(stream) >= RECORDS, 'trades')
    const from = `${ack.epoch}:${raw.frames[0]?.firstSeq}`
    for (const { name, skip, read } of SUBSCRIBERS) {
      await t.test(name, { skip }, async (t) => {
        const target = new Target(url)
        const isSame = (records: readonly SubscriberRecord[]) => {
          const sent = new Map<number, unknown>()
          for (const { firstSeq, records } of raw.frames) {
            records.forEach((record, i) => {
              sent.set(firstSeq + i, { ...record, seq: firstSeq + i })
            })
          }
          t.same(
            records,
            records.map(({ seq }) => sent.get(seq)),
            'the same records',
          )
          const first = records[0]?.seq ?? 0
          t.ok(
            records.every(({ seq }, i) => seq === first + i),
            'dense',
          )
        }
        const again = await read(target, 'trades', from, RECORDS)
        t.equal(again.length, RECORDS)
        t.equal(again[0]?.seq, raw.frames[0]?.firstSeq, 'from where it asked')
        isSame(again)
        const live = await read(target, 'trades', 'live', RECORDS)
        const last = live.at(-1)?.seq as number
        await raw.until(() => (raw.frames.at(-1)?.firstSeq ?? 0) > last, 'the same trades')
        t.equal(live.length, RECORDS)
        isSame(live)
      })
    }
  })
})
