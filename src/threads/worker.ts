// Entry of a worker thread: loads what its agents need, waits for the word to begin, attaches to
// the shared memory, builds the agents, runs them.

import { once } from 'node:events'
import { flushCompileCache } from 'node:module'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { SystemClock } from '../clock.ts'
import { errorText, TickdError } from '../errors.ts'
import { LIVE_SLICE_US } from '../limits.ts'
import { systemAddon } from '../native/addon.ts'
import { createLog } from '../ops/log.ts'
import { ThreadMeter } from '../ops/profiling/thread-meter.ts'
import { LIVE_STAGES } from '../pipeline.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { AgentFactory, type FactoryOptions, loadMakers, type TellAccounts } from './agents.ts'
import { Asker } from './asker.ts'
import { Lifecycle } from './lifecycle.ts'
import type { ThreadPlan } from './plan.ts'
import { clockFor } from './planted-bugs.ts'
import { Runner } from './runner.ts'
import type { Begin, FromWorker, ToWorker } from './runtime.ts'
import { Shared } from './shared-memory.ts'
import { testFaults } from './test-faults.ts'

const thread = workerData as ThreadPlan

// First of all: what is registered first is undone last, after Node's own handles.
const inTurn = new Int32Array(new SharedArrayBuffer(4))
if (!thread.blocking) systemAddon()?.guardLoop(thread.line, inTurn)
// Where the system knows no such slices all goes as well, only less evenly on busy cores.
if (thread.agents.some(({ stage }) => LIVE_STAGES.includes(stage))) {
  systemAddon()?.setTimeSlice(LIVE_SLICE_US)
}

function tell(message: FromWorker): void {
  parentPort?.postMessage(message)
}

const begun = once(parentPort as MessagePort, 'message') as Promise<[Begin]>
const makers = await loadMakers(thread.agents.map(({ stage }) => stage))
const [{ runtime, threads, memory, ports }] = await begun

const log = createLog(thread.name, runtime.config.log.level, runtime.logFormat)
const instrumentLog = new InstrumentLog(runtime.paths.instruments)
const shared = new Shared(memory, instrumentLog.append, thread.owner)
const bell = shared.bell(thread)
const clock = new SystemClock()
const { blocking } = thread
const meter = new ThreadMeter(shared.counters('thread', thread.name), {
  blocking,
  nowMs: clock.monoMs(),
})
const faults = testFaults(process.env)
const asker = new Asker((id, question) => tell({ type: 'question', id, question }))
let accounts: TellAccounts = () => ({ role: '', subscribers: [] })
const options: FactoryOptions = {
  runtime,
  shared,
  threads,
  clock: clockFor(faults, new SystemClock()),
  log: (role) => createLog(role, runtime.config.log.level, runtime.logFormat),
  wake: () => bell.ring(),
  announce: (name, address) => tell({ type: 'listening', name, address }),
  ports: new Map(ports),
  faults,
  raise: (report) => tell({ type: 'incident', report }),
  ask: asker.ask,
  tellsAccounts: (given) => {
    accounts = given
  },
}
const factory = new AgentFactory(options, makers)

const runner = new Runner({
  seats: thread.agents.map((agent) => ({
    roleName: agent.roleName,
    make: () => factory.make(agent),
    lifecycle: new Lifecycle(memory.lifecycle, agent.slot),
    counters: shared.counters('agent', agent.roleName),
  })),
  clock,
  log,
  bell,
  blocking,
  pulse: Lifecycle.ofThread(memory.lifecycle, thread),
  inTurn,
  onFailure: (roleName, error) => {
    const summary = `agent ${roleName} failed and was made anew`
    const evidence = { role: roleName, error: errorText(error) }
    const kind = 'agent_restarted'
    tell({ type: 'incident', report: { kind, severity: 'warning', summary, evidence } })
  },
  // Now: a process that is killed has no end at which Node.js would do it.
  onRunning: flushCompileCache,
  onStartFailure: (roleName, error) => {
    const code = error instanceof TickdError ? error.code : 'AGENT_FAILED'
    const stack = error instanceof Error && code === 'AGENT_FAILED' ? error.stack : undefined
    tell({ type: 'start-failed', roleName, code, message: errorText(error), stack })
  },
})

// A blocking thread has no event loop, and no agent that asks.
if (!blocking) {
  parentPort?.on('message', (message: ToWorker) => {
    const { id } = message
    if (message.type === 'answer') asker.onAnswer(id, message.answer)
    else tell({ type: 'accounts', id, ...accounts(message.max) })
  })
}
await runner.run(meter)
instrumentLog.close()
parentPort?.close()
