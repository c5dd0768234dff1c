// The daemon's counters as Prometheus text, from the shared memory of all threads.
//
// Names derive from the catalog: tickd_<set>_<name>, counters with `_total`. One HELP and TYPE a
// name, then one line for each block of counters. A scrape reads a few hundred doubles: no cache.
// The process's own metrics (CPU, memory, this thread's event loop) are prom-client's.

import type { Registry } from 'prom-client'
import { activeAddon } from '../native/addon.ts'
import { VERSION } from '../version.ts'
import { COUNTER_CATALOG, type CounterDescription, type CounterSetName } from './counter-catalog.ts'
import type { CounterSet } from './counters.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** A block of counters and what tells it from others of its set. */
export interface MetricSource {
  readonly set: CounterSetName
  readonly labels: Readonly<Record<string, string>>
  readonly counters: CounterSet
}

export function renderCounters(sources: readonly MetricSource[]): string {
  const lines: string[] = []
  for (const set of Object.keys(COUNTER_CATALOG) as CounterSetName[]) {
    const blocks = sources.filter((source) => source.set === set)
    if (blocks.length === 0) continue
    const catalog: Record<string, CounterDescription> = COUNTER_CATALOG[set]
    for (const [name, { help, type }] of Object.entries(catalog)) {
      const metric = `tickd_${set}_${name}${type === 'counter' ? '_total' : ''}`
      lines.push(`# HELP ${metric} ${help}`, `# TYPE ${metric} ${type}`)
      for (const { labels, counters } of blocks) {
        lines.push(`${metric}${labelText(labels)} ${counters.get(name)}`)
      }
    }
  }
  return `${lines.join('\n')}\n`
}

let registry: Promise<Registry> | undefined

/** Metrics of the process and of the calling thread's event loop, and what runs. */
export async function renderProcess(): Promise<string> {
  registry ??= openRegistry()
  return (await registry).metrics()
}

/** Its many modules are loaded by the first scrape, not by the start. */
async function openRegistry(): Promise<Registry> {
  const { collectDefaultMetrics, Gauge, Registry } = await import('prom-client')
  const register = new Registry()
  collectDefaultMetrics({ register })
  const build = new Gauge({
    name: 'tickd_build_info',
    help: 'What runs: always 1',
    labelNames: ['version', 'kernels'],
    registers: [register],
  })
  build.set({ version: VERSION, kernels: activeAddon().name }, 1)
  return register
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
