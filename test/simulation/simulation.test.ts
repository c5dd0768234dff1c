// A bounded part of the simulation.
//
// More: npm run test:sim -- --seeds 100000 --workers 2

import t from 'tap'
import { FAULTS } from './faults.ts'
import { runSchedule } from './schedule.ts'
import { addOutcome, newTally } from './tally.ts'

const SCHEDULES = 500
const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))

t.setTimeout(240_000)

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
