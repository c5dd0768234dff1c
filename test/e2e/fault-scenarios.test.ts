// The scenarios of the fault suite, small (npm run test:faults -- --scenario NAME for the whole).

import t from 'tap'
import { SCENARIOS } from '../faults/scenarios.ts'
import { redisBinary } from '../support/redis.ts'

const skip = redisBinary === undefined ? 'there is no redis-server on PATH' : false

t.setTimeout(280_000)

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGALRM'] as const) {
  process.once(signal, () => process.exit(1))
}

for (const { name, summary, smoke, run } of SCENARIOS) {
  t.test(`${name}: ${summary}`, { skip }, async (t) => {
    // At this size its figures are not judged; what it promises is.
    t.ok(await run({ ...smoke, seed: 1 }, (text) => t.comment(text)), 'as promised')
  })
}
