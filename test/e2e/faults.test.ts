// A bounded part of the fault suite (npm run test:faults), from a seed: TICKD_SEED repeats it.

import t from 'tap'
import type { PlantedBug } from '../../src/threads/planted-bugs.ts'
import { attempt } from '../faults/attempt.ts'
import { redisBinary } from '../support/redis.ts'

const ROUNDS = 12
const BUDGET_MS = 15_000
/** Of a daemon with a bug. */
const PLANTED_ROUNDS = 25

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const skip = redisBinary === undefined ? 'there is no redis-server on PATH' : false

t.setTimeout(280_000)

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGALRM'] as const) {
  process.once(signal, () => process.exit(1))
}

t.test(
  'whatever is broken: what was acknowledged is stored, once, in order',
  { skip },
  async (t) => {
    t.comment(`seed ${seed}: TICKD_SEED=${seed} draws the same faults`)
    const { failure, round, directory, summary } = await attempt({
      rounds: ROUNDS,
      budgetMs: BUDGET_MS,
      seed,
      progress: (text) => t.comment(text),
    })
    if (failure === undefined) {
      t.match(summary, { lost: 0, doubled: 0, outOfOrder: 0 })
      t.ok((summary?.acknowledged ?? 0) > 0)
    } else t.fail(`round ${round} of seed ${seed}: ${failure}; kept: ${directory}`)
  },
)

// One that shows when the daemon is killed, and one that is always there; `--planted` runs all.
const bugs: readonly PlantedBug[] = [
  seed % 2 === 0 ? 'ack-early' : 'forget-batches',
  seed % 4 < 2 ? 'store-swap' : 'feed-hole',
]
for (const planted of bugs) {
  t.test(`the bug ${planted}, had we made it, would be found`, { skip }, async (t) => {
    const progress = (text: string) => t.comment(text)
    const options = { rounds: PLANTED_ROUNDS, seed, planted, progress }
    const { failure, round } = await attempt(options)
    t.type(failure, 'string', `found in round ${round}`)
    // What was acknowledged and never becomes stored is just what such a bug does.
    t.notMatch(failure, /not in time(?!: all is stored)|ended/, 'for what it is')
  })
}
