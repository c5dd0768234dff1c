// What can be taken of a thread: its processor time, its allocations, and a trace of the process.
//
//   cpu    a stack a millisecond (V8's CPU profiler)          .cpuprofile
//   heap   who allocated what, by sampling, freed or not      .heapprofile
//   trace  what Node itself did, when, on which thread        Chrome's trace events
//
// All three are formats that DevTools, speedscope and Perfetto read. None is written to disk here.

import { PROFILE_TRACE_EVENTS_MAX } from '../../limits.ts'
import type { InspectorLink } from './inspector-link.ts'
import { MAIN_THREAD } from './thread-target.ts'

export const PROFILE_KINDS = ['cpu', 'heap', 'trace'] as const
export type ProfileKind = (typeof PROFILE_KINDS)[number]

/** Time between two stacks of a CPU profile. */
const SAMPLE_US = 1000
/** Mean distance of two allocation samples: V8's own default. */
const HEAP_SAMPLE_BYTES = 32 * 1024

export interface CallFrame {
  readonly functionName: string
  readonly url: string
  /** From 0. */
  readonly lineNumber: number
}

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: CallFrame
    readonly children?: readonly number[]
  }[]
  /** Microseconds. */
  readonly startTime: number
  readonly endTime: number
  /** Id of the node that ran at each sample, and the microseconds since the sample before. */
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface HeapNode {
  readonly callFrame: CallFrame
  /** Bytes allocated by the function itself. */
  readonly selfSize: number
  readonly children: readonly HeapNode[]
}

export interface HeapProfile {
  readonly head: HeapNode
}

export interface TraceEvent {
  readonly ph: string
  readonly name: string
  readonly tid: number
  readonly [field: string]: unknown
}

export interface Trace {
  readonly traceEvents: TraceEvent[]
  /** Events that were more than PROFILE_TRACE_EVENTS_MAX. */
  droppedEvents: number
}

/** Takes a profile; `elapsed` resolves when its time is over, and rejects to give it up. */
export type Take<Profile> = (link: InspectorLink, elapsed: () => Promise<void>) => Promise<Profile>

export const takeCpuProfile: Take<CpuProfile> = async (link, elapsed) => {
  await link.ask('Profiler.enable')
  await link.ask('Profiler.setSamplingInterval', { interval: SAMPLE_US })
  await link.ask('Profiler.start')
  await elapsed()
  const { profile } = await link.ask('Profiler.stop')
  return profile as CpuProfile
}

export const takeHeapProfile: Take<HeapProfile> = async (link, elapsed) => {
  await link.ask('HeapProfiler.startSampling', {
    samplingInterval: HEAP_SAMPLE_BYTES,
    // What was freed again counts too: the question is who makes garbage.
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  })
  await elapsed()
  const { profile } = await link.ask('HeapProfiler.stopSampling')
  return profile as HeapProfile
}

/** Collections, event-loop phases, file system calls, the thread pool, name look-ups. */
const TRACE_CATEGORIES = [
  'v8',
  'node.environment',
  'node.fs.sync',
  'node.fs.async',
  'node.threadpoolwork.async',
  'node.threadpoolwork.sync',
  'node.dns.native',
  'node.perf',
  // For the marks below.
  'node.console',
]
const MARK = 'tickd-thread:'

/** A trace is of the whole process; `thread` (undefined = all) chooses whose events are kept. */
export function takeTrace(thread: string | undefined): Take<Trace> {
  return async (link, elapsed) => {
    const trace: Trace = { traceEvents: [], droppedEvents: 0 }
    const { session } = link
    const complete = Promise.withResolvers<void>()
    session.on('NodeTracing.tracingComplete', () => complete.resolve())
    session.on('NodeTracing.dataCollected', ({ params }) => {
      collect(trace, (params as { value: TraceEvent[] }).value)
    })
    const traceConfig = { includedCategories: TRACE_CATEGORIES }
    await link.askThread(MAIN_THREAD.name, 'NodeTracing.start', { traceConfig })
    await markThreads(link)
    await elapsed()
    await link.askThread(MAIN_THREAD.name, 'NodeTracing.stop', {})
    await complete.promise
    return nameThreads(trace, thread)
  }
}

function collect(trace: Trace, events: readonly TraceEvent[]): void {
  const room = PROFILE_TRACE_EVENTS_MAX - trace.traceEvents.length
  for (const event of events.slice(0, room)) trace.traceEvents.push(event)
  trace.droppedEvents += Math.max(0, events.length - room)
}

/**
 * Events name their thread by the system's number, which JavaScript does not know. So each thread
 * is made to trace one event with its name: a timer of a console of its own, which prints nothing.
 */
async function markThreads(link: InspectorLink): Promise<void> {
  const threads = [MAIN_THREAD.name, ...(await link.attachAll())]
  await Promise.all(
    threads.map((thread) => {
      const label = JSON.stringify(MARK + thread)
      const expression =
        "new (process.getBuiltinModule('node:console').Console)({ stdout: { write() {} } })" +
        `.time(${label})`
      return link.askThread(thread, 'Runtime.evaluate', { expression, returnByValue: true })
    }),
  )
}

/** Puts names to the threads, the way the viewers expect, and drops the events of the others. */
export function nameThreads(trace: Trace, thread: string | undefined): Trace {
  const names = new Map<number, string>()
  for (const { name, tid } of trace.traceEvents) {
    const at = name.indexOf(MARK)
    if (at >= 0) names.set(tid, name.slice(at + MARK.length))
  }
  const isNaming = ({ ph, name }: TraceEvent) => ph === 'M' && name === 'thread_name'
  const kept = trace.traceEvents.filter((event) => {
    if (event.name.includes(MARK) || isNaming(event)) return false
    return thread === undefined || event.ph === 'M' || names.get(event.tid) === thread
  })
  const labels = [...names]
    .filter(([, name]) => thread === undefined || name === thread)
    .map(([tid, name]) => {
      return { pid: process.pid, tid, ph: 'M', name: 'thread_name', args: { name } }
    })
  return { traceEvents: [...labels, ...kept], droppedEvents: trace.droppedEvents }
}
