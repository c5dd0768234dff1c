// Real threads, real inspector: also threads whose event loop never turns.

import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { flameOfCpu, flameOfHeap, heaviest } from '../../../../src/ops/profiling/flame-tree.ts'
import { openLinkCount } from '../../../../src/ops/profiling/inspector-link.ts'
import { ALL_THREADS, type Profile, Profiler } from '../../../../src/ops/profiling/profiler.ts'
import { nameThreads } from '../../../../src/ops/profiling/profiles.ts'
import { findTarget } from '../../../../src/ops/profiling/thread-target.ts'

const never = new AbortController().signal
t.setTimeout(200_000)

async function startWorker(t: Test, mode: string, name = mode): Promise<Worker> {
  const memory = new SharedArrayBuffer(16)
  const worker = new Worker(new URL('./busy-worker.ts', import.meta.url), {
    name,
    workerData: { memory, mode },
  })
  t.teardown(() => worker.terminate())
  // Pairs with the worker's notify.
  const ready = Atomics.waitAsync(new Int32Array(memory), 1, 0, 20_000)
  if (ready.async) t.equal(await ready.value, 'ok', 'the thread works')
  return worker
}

const target = (name: string) => ({ name, roles: [`${name}-0`], waits: 'blocking' as const })

function functionsOf(profile: Profile): string[] {
  if (profile.kind === 'trace') throw new Error('a trace has no functions')
  const tree = profile.kind === 'cpu' ? flameOfCpu(profile.value) : flameOfHeap(profile.value)
  return heaviest(tree, 1000).map(({ label }) => label.split(' ')[0] as string)
}

for (const mode of ['blocking', 'event-loop', 'hang']) {
  t.test(`a thread that works, ${mode}, is seen where it works`, async (t) => {
    await startWorker(t, mode)
    const profiler = new Profiler([target(mode)])
    t.equal(openLinkCount(), 0, 'no inspector session before')
    const taking = profiler.take({ kind: 'cpu', thread: `${mode}-0`, seconds: 1 }, never)
    t.ok(profiler.isBusy(mode))
    const profile = await taking
    t.equal(openLinkCount(), 0, 'and none after')
    t.notOk(profiler.isBusy(mode))
    t.ok(functionsOf(profile).includes('workInLoop'), functionsOf(profile).join())
  })
}

t.test('the allocations of a blocking thread', async (t) => {
  await startWorker(t, 'blocking')
  const profiler = new Profiler([target('blocking')])
  const profile = await profiler.take({ kind: 'heap', thread: 'blocking', seconds: 1 }, never)
  t.ok(functionsOf(profile).includes('allocateMuch'), functionsOf(profile).join())
})

t.test('a trace names the threads, and may be of one', async (t) => {
  await startWorker(t, 'blocking')
  const profiler = new Profiler([target('blocking')])
  const namesIn = async (thread: string) => {
    const { value } = await profiler.take({ kind: 'trace', thread, seconds: 1 }, never)
    if (!('traceEvents' in value)) throw new Error('not a trace')
    const names = new Map(
      value.traceEvents
        .filter(({ name }) => name === 'thread_name')
        .map(({ tid, args }) => [tid, (args as { name: string }).name]),
    )
    const seen = value.traceEvents.filter(({ ph }) => ph !== 'M').map(({ tid }) => names.get(tid))
    return { names: [...names.values()].sort(), seen: new Set(seen) }
  }
  const all = await namesIn(ALL_THREADS)
  t.same(all.names, ['blocking', 'main'])
  t.ok(all.seen.has('blocking'), 'its collections')
  const one = await namesIn('blocking')
  t.same(one.names, ['blocking'])
  t.same([...one.seen], ['blocking'])
})

t.test('one profile at a time a thread; main and another at the same time', async (t) => {
  await startWorker(t, 'blocking')
  const profiler = new Profiler([target('blocking')])
  const first = profiler.take({ kind: 'cpu', thread: 'blocking', seconds: 1 }, never)
  const main = profiler.take({ kind: 'cpu', thread: 'main', seconds: 1 }, never)
  await t.rejects(profiler.take({ kind: 'heap', thread: 'blocking-0', seconds: 1 }, never), {
    code: 'PROFILE_BUSY',
  })
  t.match((await first).value, { samples: Array })
  t.match((await main).value, { samples: Array })
})

t.test('a profile that is given up leaves the thread as it was', async (t) => {
  await startWorker(t, 'blocking')
  const profiler = new Profiler([target('blocking')])
  const giveUp = new AbortController()
  const taking = profiler.take({ kind: 'cpu', thread: 'blocking', seconds: 60 }, giveUp.signal)
  giveUp.abort(new Error('enough'))
  await t.rejects(taking, { cause: { message: 'enough' } })
  t.equal(openLinkCount(), 0)
  t.notOk(profiler.isBusy('blocking'))
})

t.test('a thread that ends while it is profiled is said', async (t) => {
  const worker = await startWorker(t, 'blocking')
  const profiler = new Profiler([target('blocking')])
  const taking = profiler.take({ kind: 'cpu', thread: 'blocking', seconds: 60 }, never)
  const refused = t.rejects(taking, { code: 'PROFILE_FAILED', message: /has ended/ })
  await worker.terminate()
  await refused
  t.equal(openLinkCount(), 0)
  const again = profiler.take({ kind: 'cpu', thread: 'blocking', seconds: 1 }, never)
  await t.rejects(again, { code: 'PROFILE_FAILED', message: /has ended/, canRetry: true })
})

t.test('what is asked must be there, and in bounds', async (t) => {
  const profiler = new Profiler([])
  await t.rejects(profiler.take({ kind: 'cpu', thread: 'x', seconds: 1 }, never), {
    code: 'USAGE',
  })
  await t.rejects(profiler.take({ kind: 'cpu', thread: ALL_THREADS, seconds: 1 }, never), {
    code: 'USAGE',
  })
  for (const seconds of [0, -1, 121, Number.NaN]) {
    await t.rejects(profiler.take({ kind: 'cpu', thread: 'main', seconds }, never), {
      code: 'USAGE',
    })
  }
})

t.test('a role names its thread, before a thread of that name', async (t) => {
  const threads = [
    { name: 'serve', roles: ['redis'], waits: 'event-loop' as const },
    { name: 'io', roles: ['serve'], waits: 'event-loop' as const },
  ]
  t.equal(findTarget(threads, 'serve')?.name, 'io')
  t.equal(findTarget(threads, 'redis')?.name, 'serve')
  t.equal(findTarget(threads, 'io')?.name, 'io')
  t.equal(findTarget(threads, 'decode-0'), undefined)
})

t.test('marks become names, and are not events of the result', async (t) => {
  const events = [
    { ph: 'b', name: 'time::tickd-thread:hot', tid: 7 },
    { ph: 'X', name: 'GC', tid: 7 },
    { ph: 'X', name: 'GC', tid: 8 },
    { ph: 'M', name: 'thread_name', tid: 8 },
  ]
  const { traceEvents } = nameThreads({ traceEvents: events, droppedEvents: 0 }, undefined)
  t.match(traceEvents[0], { ph: 'M', tid: 7, args: { name: 'hot' } })
  t.same(traceEvents.slice(1), [events[1], events[2]])
})
