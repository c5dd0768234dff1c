import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import { INCIDENT_FILE_BYTES_MAX, INCIDENT_REPEAT_MS, INCIDENTS_MAX } from '../../../src/limits.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import {
  INCIDENT_KINDS,
  type IncidentReport,
  Incidents,
  readIncidents,
} from '../../../src/ops/incidents.ts'
import { type Log, silentLog } from '../../../src/ops/log.ts'

function report(summary: string, more: Partial<IncidentReport> = {}): IncidentReport {
  return { kind: 'records_lost', severity: 'critical', summary, evidence: { from: 1 }, ...more }
}

function rig(t: Test, log: Log = silentLog) {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-incidents-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'incidents.jsonl')
  const clock = new SimulatedClock()
  return { directory, path, clock, open: () => new Incidents({ path, clock, log }) }
}

const ids = (incidents: Incidents) => incidents.list().map(({ id }) => id)

t.test('an incident is kept across starts, under a number that grows', async (t) => {
  const { open, path } = rig(t)
  const first = open()
  first.raise(report('one'))
  first.raise(report('two', { kind: 'poison_frame', severity: 'warning' }))
  const second = open()
  t.match(second.list(), [
    { id: 1, at: /^2023-11-14T/, kind: 'records_lost', summary: 'one', evidence: { from: 1 } },
    { id: 2, kind: 'poison_frame', severity: 'warning', summary: 'two', repeats: 0 },
  ])
  second.raise(report('three'))
  t.same(
    second.list(2).map(({ id }) => id),
    [3],
  )
  t.equal(readIncidents(path).incidents.length, 3)
})

t.test('it is logged by severity, and counted, also before there is shared memory', async (t) => {
  const said: string[] = []
  const say = (level: string) => (_: object, message: string) => {
    said.push(`${level} ${message}`)
  }
  const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  const incidents = rig(t, log).open()
  incidents.raise(report('a'))
  incidents.raise(report('b', { severity: 'warning' }))
  const counters = new CounterSet(counterNames('incidents'))
  incidents.countIn(counters)
  incidents.raise(report('c', { severity: 'notice' }))
  t.same(said, ['error a', 'warn b', 'info c'])
  t.same(counters.toJSON(), { raised: 3, critical: 1, repeated: 0 })
})

t.test('the same again within a minute is counted, and told with the next one', async (t) => {
  const { open, clock } = rig(t)
  const incidents = open()
  for (let i = 0; i < 5; i++) incidents.raise(report('again', { evidence: { i } }))
  incidents.raise(report('other'))
  clock.advance(INCIDENT_REPEAT_MS)
  incidents.raise(report('again'))
  t.same(
    incidents.list().map(({ summary, repeats }) => `${summary} ${repeats}`),
    ['again 0', 'other 0', 'again 4'],
  )
})

t.test('number, bytes and evidence are bounded', async (t) => {
  const { open, path } = rig(t)
  const incidents = open()
  const counters = new CounterSet(counterNames('incidents'))
  incidents.countIn(counters)
  for (let i = 0; i < INCIDENTS_MAX + 10; i++) {
    incidents.raise(report(`number ${i}`, { evidence: { text: 'x'.repeat(20_000) } }))
    if (statSync(path).size > INCIDENT_FILE_BYTES_MAX) t.fail('beyond the limit')
  }
  const kept = incidents.list()
  t.ok(kept.length <= INCIDENTS_MAX && kept.length >= INCIDENTS_MAX / 4, `${kept.length} kept`)
  t.equal(kept.at(-1)?.summary, `number ${INCIDENTS_MAX + 9}`, 'the newest are')
  t.match(kept.at(-1)?.evidence, { cut: /^\{"text":"xxx/, length: 20_011 })
  t.same(
    ids(open()),
    kept.map(({ id }) => id),
    'as in the file',
  )
  t.equal(counters.get('raised'), INCIDENTS_MAX + 10)
})

t.test('a torn or foreign line is passed over, and the file made whole again', async (t) => {
  const { open, path } = rig(t)
  const incidents = open()
  for (const summary of ['a', 'b', 'c']) incidents.raise(report(summary))
  truncateSync(path, statSync(path).size - 7)
  t.same(ids(open()), [1, 2])
  t.equal(readIncidents(path).isWhole, true)
  appendFileSync(path, 'null\n{"id":"x"}\nnonsense\n')
  t.same(ids(open()), [1, 2])
  t.equal(readFileSync(path, 'utf8').split('\n').length, 3)
})

t.test('what the disk refuses is in memory, and in the file once it takes it', async (t) => {
  const errors: string[] = []
  const log = { ...silentLog, error: (_: object, message: string) => void errors.push(message) }
  const { open, directory, path } = rig(t, log)
  const incidents = open()
  rmSync(directory, { recursive: true })
  incidents.raise(report('unwritten'))
  t.same(errors, ['unwritten', 'incident not written'])
  t.same(ids(incidents), [1])
  mkdirSync(directory)
  incidents.raise(report('written'))
  t.same(
    readIncidents(path).incidents.map(({ id }) => id),
    [1, 2],
  )
})

t.test('docs/incidents.md explains every kind', async (t) => {
  const text = readFileSync(new URL('../../../docs/incidents.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, kind]) => kind)
  t.same(rows.sort(), [...INCIDENT_KINDS].sort())
})
