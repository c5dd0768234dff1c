// What a thread leaves behind that ended without closing its agents, set right by main once the
// thread is gone (it then is the only writer): who runs, what is open, and the instrument lock.
//
// Not here, as their successors find them whole: rings (each publication is one store), positions,
// the group at which decode ended (ring/group-commit.ts), the latest table (a slot that was being
// written is written again), files (recovered by whoever opens them).

import type { CounterSetName } from '../ops/counter-catalog.ts'
import type { StageName } from '../pipeline.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { Lifecycle, STATE } from './lifecycle.ts'
import type { ThreadPlan } from './plan.ts'
import type { Shared } from './shared-memory.ts'

/** Gauges of what is open: it was closed with the thread. */
const OPEN_GAUGES = [
  'connections',
  'connected',
  'subscribers',
  'subscribers_pending',
  'subscriptions',
  'holding',
]

/** `isStopping`: nobody follows, and the agents are as failed. */
export function repairAfter(
  thread: ThreadPlan,
  shared: Shared,
  instrumentsPath: string,
  isStopping: boolean,
): void {
  for (const { slot, stage, instance, roleName } of thread.agents) {
    const line = new Lifecycle(shared.memory.lifecycle, slot)
    line.leaveFor()
    if (line.state === STATE.starting || line.state === STATE.running) {
      line.state = isStopping ? STATE.failed : STATE.starting
    }
    line.countRestart()
    shared.counters('agent', roleName).add('restarts')
    closeGauges(shared, stage, instance)
    // Limits hold for what is open: what was open there no longer counts, at once.
    if (stage === 'serve') shared.usageBoard(instance).clear()
  }
  if (shared.instruments.abandoned(thread.owner)) {
    new InstrumentLog(instrumentsPath).mend(shared.instruments)
    shared.instruments.unlockFor(thread.owner)
  }
}

function closeGauges(shared: Shared, stage: StageName, instance: number): void {
  for (const block of shared.memory.counterBlocks) {
    const { set, key, labels } = block
    if (set !== (stage as CounterSetName)) continue
    if ('shard' in labels && key !== String(instance)) continue
    if (stage === 'serve' && block.instance !== instance) continue
    const counters = shared.countersOf(block)
    for (const name of OPEN_GAUGES) {
      const gauge = counters.names.find((known) => known === name)
      if (gauge !== undefined) counters.set(gauge, 0)
    }
  }
}
