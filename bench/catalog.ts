// Every benchmark, in the order of the way of a tick.

import type { Bench } from './bench.ts'
import { decodeBench } from './decode.ts'
import { e2eBench, e2eJsBench } from './e2e.ts'
import { encodeBench } from './encode.ts'
import { fanoutBench } from './fanout.ts'
import { journalBench } from './journal.ts'
import { latencyBench } from './latency.ts'
import { postgresCopyBench } from './postgres-copy.ts'
import { redisBench } from './redis.ts'
import { ringBench } from './ring.ts'
import { soakBench } from './soak.ts'
import { subscribersBench } from './subscribers.ts'

/** `never`: each names its own sizes. */
export const BENCHES: readonly Bench<never>[] = [
  decodeBench,
  ringBench,
  journalBench,
  e2eBench,
  e2eJsBench,
  encodeBench,
  postgresCopyBench,
  redisBench,
  fanoutBench,
  latencyBench,
  subscribersBench,
  soakBench,
]
