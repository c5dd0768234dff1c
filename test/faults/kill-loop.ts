// Scenario: kill -9 in a loop, at random moments under full load, with a journal of many gigabytes.
// Nothing that was acknowledged is lost or doubled, and the daemon serves again soon.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeStateDir } from '../support/daemon.ts'
import { auditLedger, auditTrades, until, untilStored } from './audit.ts'
import { growJournal } from './large-journal.ts'
import { makeLoads } from './load-set.ts'
import { randomOf } from './random-of.ts'
import type { Scenario } from './scenario.ts'
import { Site } from './site.ts'

const SHARDS = [0, 1]
const LIVES_MS_MAX = 1500
/** Some are killed before they serve: one in so many. */
const IN_START_ONE_IN = 5
const IN_START_MS_MAX = 1200
/** Batches follow each other at once: the window and the answers are what holds them back. */
const PACE_MS = 0
const AUDIT_EVERY = 20
const START_GOAL_MS = 2000
/** Fewer are not judged. */
const JUDGED_STARTS_MIN = 20

export const killLoop: Scenario = {
  name: 'kill-loop',
  summary: 'kill -9 at random moments under full load: none lost, none doubled, time to serve',
  full: { kills: 100, gigabytes: 10 },
  smoke: { kills: 3, gigabytes: 0.05 },
  run,
}

async function run(
  { kills = 0, gigabytes = 0, seed = 0 }: Readonly<Record<string, number>>,
  print: (text: string) => void,
): Promise<boolean> {
  const random = randomOf(seed, 'kill', 0)
  const violations: string[] = []
  const onViolation = (text: string) => {
    if (violations.length === 0) violations.push(text)
  }
  const directory = makeStateDir()
  const site = await Site.open({
    directory,
    seed,
    planted: undefined,
    arm: () => [],
    onViolation,
    isLarge: true,
  })
  process.once('exit', () => site.killAll())
  await enlarge(site, gigabytes * 1e9, print)
  const loads = makeLoads(site, seed, onViolation, PACE_MS)
  const tasks = loads.map((load) => load.run())
  for (const load of loads) load.resume()
  const verified = { hour: 0, last: new Map<string, number>() }
  let inStart = 0
  for (let kill = 1; kill <= kills; kill++) {
    if (random.below(IN_START_ONE_IN) === 0) {
      site.spawn()
      await delay(random.below(IN_START_MS_MAX))
      inStart++
    } else {
      await site.start()
      await delay(random.below(LIVES_MS_MAX))
    }
    await site.kill()
    if (kill % AUDIT_EVERY === 0 || kill === kills) {
      await site.start()
      for (const load of loads) load.pause()
      await until('all is acknowledged', () => loads.every(({ isSettled }) => isSettled))
      await untilStored(site, loads)
      await auditTrades(site, loads, verified, true)
      await auditLedger(site)
      if (violations.length > 0) throw new Error(violations[0])
      const trades = loads.reduce((sum, { acknowledged }) => sum + acknowledged, 0)
      print(`${kill} kills: ${trades} trades acknowledged, all stored, none twice, in order`)
      for (const load of loads) load.resume()
      if (kill < kills) await site.kill()
    }
  }
  for (const load of loads) load.end()
  await Promise.all(tasks)
  await site.close()
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
  return report(site.startsMs, kills, inStart, print)
}

/** Gives the daemon a long past: a large journal, which the database has stored already. */
async function enlarge(site: Site, bytes: number, print: (text: string) => void): Promise<void> {
  await site.start()
  const positions = 'SELECT shard FROM tickd.positions'
  await until('each shard has a position', async () => {
    return (await site.database.query(positions).catch(() => [])).length === SHARDS.length
  })
  await site.terminate()
  const beganMs = performance.now()
  for (const shard of SHARDS) {
    const path = join(site.stateDir, 'journal', `shard-${shard}`)
    const nextSeq = growJournal(path, shard, 1, bytes / SHARDS.length)
    const sql = "UPDATE tickd.positions SET seq = $1, start = '' WHERE shard = $2"
    await site.database.query(sql, [nextSeq, shard])
    print(`shard ${shard}: journal of ${nextSeq} records`)
  }
  print(`made in ${Math.round((performance.now() - beganMs) / 1000)} s`)
}

function report(
  startsMs: readonly number[],
  kills: number,
  inStart: number,
  print: (text: string) => void,
): boolean {
  // The first one had no large journal yet.
  const sorted = startsMs.slice(1).sort((a, b) => a - b)
  const p50 = Math.round(sorted[sorted.length >> 1] ?? 0)
  const max = Math.round(sorted.at(-1) ?? 0)
  print(`${kills} kills, ${inStart} of them during the start: lost 0, doubled 0`)
  print(`start to serving, ${sorted.length} times: p50 ${p50} ms, max ${max} ms`)
  const isMet = max < START_GOAL_MS
  const isJudged = sorted.length >= JUDGED_STARTS_MIN
  const remark = isJudged ? '' : ` (fewer than ${JUDGED_STARTS_MIN} starts: no verdict)`
  print(`${isMet ? 'met' : 'NOT MET'}: each below ${START_GOAL_MS} ms${remark}`)
  return isMet || !isJudged
}
