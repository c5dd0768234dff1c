import t from 'tap'
import { activeAddon } from '../../../src/native/addon.ts'
import { COUNTER_CATALOG, counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { renderCounters, renderProcess } from '../../../src/ops/metrics.ts'
import { VERSION } from '../../../src/version.ts'

t.test('blocks of one set share a name, and differ by their labels', (t) => {
  const [a, b] = [1, 2].map((value) => {
    const counters = new CounterSet(counterNames('source'))
    counters.add('frames', value)
    counters.set('connections', 0.5)
    return counters
  })
  const text = renderCounters([
    { set: 'source', labels: { source: 'a' }, counters: a! },
    { set: 'source', labels: { source: 'a "b"\\\n' }, counters: b! },
  ])
  const lines = text.split('\n')
  const at = lines.indexOf('# TYPE tickd_source_frames_total counter')
  t.same(lines.slice(at - 1, at + 3), [
    '# HELP tickd_source_frames_total Frames put on the frame ring',
    '# TYPE tickd_source_frames_total counter',
    'tickd_source_frames_total{source="a"} 1',
    'tickd_source_frames_total{source="a \\"b\\"\\\\\\n"} 2',
  ])
  t.ok(lines.includes('tickd_source_connections{source="a"} 0.5'), 'a gauge has no _total')
  t.ok(text.endsWith('\n'))
  t.end()
})

t.test('every counter of the catalog is a legal metric, declared once', (t) => {
  const sets = Object.keys(COUNTER_CATALOG) as (keyof typeof COUNTER_CATALOG)[]
  const text = renderCounters(
    sets.map((set) => ({ set, labels: {}, counters: new CounterSet(counterNames(set)) })),
  )
  const declared = [...text.matchAll(/^# TYPE (\S+) (counter|gauge)$/gm)].map(([, name]) => name)
  t.equal(new Set(declared).size, declared.length)
  t.equal(
    declared.length,
    sets.reduce((sum, set) => sum + counterNames(set).length, 0),
  )
  for (const line of text.trim().split('\n')) {
    t.match(line, /^(# (HELP|TYPE) )?[a-z][a-z0-9_]*( |\{)/)
  }
  t.end()
})

t.test('the process tells of its memory and processor time', async (t) => {
  t.match(await renderProcess(), /^process_resident_memory_bytes \d+$/m)
  t.match(await renderProcess(), /^process_cpu_seconds_total \d/m, 'and does so twice')
})

t.test('the active kernels are a metric', async (t) => {
  const { name } = activeAddon()
  t.match(await renderProcess(), `tickd_build_info{version="${VERSION}",kernels="${name}"} 1\n`)
})
