// A bounded part of the simulation, and the proof that it finds what it is for.
//
// More: npm run test:sim -- --seeds 100000 --workers 2

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { FAULTS } from './faults.ts'
import { PLANTED_BUGS } from './planted.ts'
import { runSchedule } from './schedule.ts'
import { addOutcome, newTally } from './tally.ts'

const SCHEDULES = 500
/** A fixed one: whether a bug is found shall not depend on luck. */
const PLANTED_SEED = 1
const PLANTED_SCHEDULES = 1000
const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))

t.test('every promise is kept in every schedule', async (t) => {
  t.comment(`TICKD_SEED=${seed}`)
  const tally = newTally()
  for (let i = 0; i < SCHEDULES; i++) addOutcome(tally, await runSchedule({ seed: seed + i }))
  t.same(tally.failures, [], `npm run test:sim -- --replay <seed>`)
  for (const name of FAULTS) t.ok(tally.faults[name] > 0, `${name} happened`)
  t.ok(tally.stats.acknowledged > SCHEDULES, 'ticks were acknowledged')
  t.ok(tally.stats.lost_sectors > 0, 'power cuts lost something')
  t.ok(tally.stats.declared > 0, 'subscribers were too slow')
  t.ok(tally.stats.overrun > 0, 'the feed was overrun')
})

t.test('the same seed is the same schedule', async (t) => {
  for (const i of [0, 1, 2]) {
    const [one, other] = [
      await runSchedule({ seed: seed + i }),
      await runSchedule({ seed: seed + i }),
    ]
    t.same(one, other, `seed ${seed + i}`)
  }
})

t.test('each planted bug is found', async (t) => {
  // A process of its own: bugs end threads in ways that a test runner would take for its own.
  const program = join(import.meta.dirname, 'main.ts')
  const args = ['--planted', '--seed', `${PLANTED_SEED}`, '--seeds', `${PLANTED_SCHEDULES}`]
  const { stdout } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, ...args],
    { encoding: 'utf8' },
  )
  for (const { name } of PLANTED_BUGS) {
    t.match(stdout, new RegExp(`^${name} .*: found after`, 'm'), name)
  }
})
