import t, { type Test } from 'tap'
import { SUSTAINED } from '../../../src/ledger/checks.ts'
import type { MinuteLine } from '../../../src/ledger/minute.ts'
import { CountedDaemon, LedgerRig } from './ledger-fixture.ts'

const EVER = '1970-01-01T00:00:00.000000000Z'

function open(t: Test, ...options: ConstructorParameters<typeof LedgerRig>): LedgerRig {
  const rig = new LedgerRig(...options)
  t.teardown(() => rig.remove())
  rig.ledger.open()
  return rig
}

function types(rig: LedgerRig): string[] {
  return rig.ledger.report(EVER, undefined).lines.map(({ type }) => type)
}

t.test('a minute is closed with exactly what passed in it', async (t) => {
  const rig = open(t)
  const { daemon, ledger } = rig
  daemon.receive()
  daemon.take({ accepted: 5, duplicate: 1, quarantined: 2, ignored: 3, rejected: 4 })
  daemon.settle()
  rig.pass(60)
  daemon.receive()
  daemon.receive()
  daemon.source.add('frames_dropped')
  daemon.take({ accepted: 1 })
  rig.pass(60)
  const { lines, ok, totals } = ledger.report(EVER, undefined)
  const minutes = lines.filter((line): line is MinuteLine => line.type === 'minute')
  t.equal(minutes.length, 2)
  t.match(minutes[0], {
    epoch: 1,
    end: 'minute',
    sources: {
      push: {
        frames: { received: 1, dropped: 0, decoded: 1, in_flight: 0 },
        bytes: 100,
        messages: { total: 15, decoded: 8, ignored: { control: 3 }, rejected: { bad_json: 4 } },
        records: { total: 8, accepted: 5, duplicate: 1, quarantined: { null_price: 2 } },
      },
    },
    shards: [{ shard: 0, accepted: 5, published: 5, durable: 5, stored: 5, rows: 5 }],
    imbalances: [],
  })
  t.match(minutes[1]?.sources.push?.frames, { received: 3, dropped: 1, decoded: 1, in_flight: 1 })
  t.match(minutes[1]?.shards[0], { accepted: 1, published: 6, durable: 5, stored: 5 })
  t.equal(minutes[0]?.to, minutes[1]?.from, 'without a hole between them')
  t.match(totals.sources.push, { frames: { received: 4, in_flight: 1 }, records: { accepted: 6 } })
  t.equal(ok, true)
  t.same(rig.incidents, [])
})

t.test('the open minute is told as it is, and a source may be asked for alone', async (t) => {
  const rig = open(t)
  rig.daemon.receive()
  t.match(rig.ledger.report(undefined, undefined).open, {
    sources: { push: { frames: { received: 1, decoded: 0, in_flight: 1 } } },
  })
  t.same(rig.ledger.report(undefined, 'other').open.sources, {})
  t.ok(rig.ledger.report(undefined, 'push').open.sources.push)
})

t.test(
  'an imbalance is an incident with its numbers, a metric, and stays in the book',
  async (t) => {
    const rig = open(t)
    const { daemon, counters, incidents } = rig
    daemon.decode.add('messages')
    rig.pass(SUSTAINED - 1)
    t.same(incidents, [], 'not yet certain')
    rig.pass(1)
    t.match(incidents, [
      {
        kind: 'ledger_imbalance',
        severity: 'critical',
        evidence: { check: 'messages', subject: 'source push', amount: 1, counts: { messages: 1 } },
      },
    ])
    t.equal(counters.get('imbalance'), 1)
    t.equal(counters.get('imbalance_amount'), 1)
    rig.pass(10)
    t.equal(incidents.length, 1, 'once, while it stays the same')
    t.equal(rig.ledger.report(undefined, undefined).ok, false)
    daemon.decode.add('messages')
    rig.pass(SUSTAINED)
    t.match(incidents.at(-1)?.evidence, { amount: 2 }, 'and again when it grows')
    daemon.decode.add('ignored_bar', 2)
    rig.pass(60)
    t.equal(counters.get('imbalance'), 0, 'over')
    const report = rig.ledger.report(EVER, undefined)
    t.same(report.imbalances, [])
    t.equal(report.ok, false, 'but its minute has it')
    t.match(report.findings, [{ check: 'messages', subject: 'source push', amount: 2 }])
  },
)

t.test('a stop closes the last minute: the next start has nothing to explain', async (t) => {
  const rig = open(t)
  rig.daemon.receive()
  rig.daemon.take({ accepted: 3 })
  rig.daemon.settle()
  rig.pass(2)
  rig.ledger.close()
  const next = new LedgerRig(new CountedDaemon(3, 2), rig.directory, rig.clock)
  next.ledger.open()
  t.same(types(next), ['start', 'minute', 'start'])
  t.same(next.incidents, [])
  t.equal(next.ledger.report(EVER, undefined).ok, true)
})

t.test(
  'a kill loses the open minute, and the book says what the journal holds of it',
  async (t) => {
    const rig = open(t)
    const { daemon } = rig
    daemon.receive()
    daemon.take({ accepted: 10 })
    daemon.settle()
    rig.pass(60)
    daemon.receive()
    daemon.take({ accepted: 7 })
    daemon.settle()
    rig.pass(5)
    const next = new LedgerRig(new CountedDaemon(17, 2), rig.directory, rig.clock)
    next.ledger.open()
    t.same(types(next), ['start', 'minute', 'interrupted', 'start'])
    const { lines, ok } = next.ledger.report(EVER, undefined)
    t.match(lines[2], { epoch: 1, shards: [{ shard: 0, from_seq: 10, to_seq: 17, records: 7 }] })
    t.equal(ok, true, 'unknown is not lost')
    t.match(next.incidents, [{ kind: 'ledger_interrupted', severity: 'warning' }])
    t.equal(next.counters.get('interruptions'), 1)
  },
)

t.test('killed again and again within the first minute, nothing is told twice', async (t) => {
  const rig = open(t)
  for (let run = 2; run <= 4; run++) {
    const next = new LedgerRig(new CountedDaemon(run * 10, run), rig.directory, rig.clock)
    next.ledger.open()
  }
  const last = new LedgerRig(new CountedDaemon(50, 5), rig.directory, rig.clock)
  last.ledger.open()
  const { lines } = last.ledger.report(EVER, undefined)
  const counts = lines.flatMap((l) => (l.type === 'interrupted' ? l.shards[0]?.records : []))
  t.same(counts, [20, 10, 10, 10], 'together: what the journal holds')
})

t.test('a journal that ends before what was durable is an imbalance', async (t) => {
  const rig = open(t)
  rig.daemon.receive()
  rig.daemon.take({ accepted: 10 })
  rig.daemon.settle()
  rig.pass(1)
  rig.ledger.close()
  const next = new LedgerRig(new CountedDaemon(4, 2), rig.directory, rig.clock)
  next.ledger.open()
  t.match(next.incidents, [
    { kind: 'ledger_imbalance', evidence: { check: 'journal_start', amount: 6 } },
  ])
  const report = next.ledger.report(EVER, undefined)
  t.equal(report.ok, false)
  t.match(report.findings, [{ check: 'journal_start', subject: 'shard 0', amount: 6 }])
})

t.test('another journal in its place is an imbalance, and nothing of it is claimed', async (t) => {
  const rig = open(t)
  rig.daemon.receive()
  rig.daemon.take({ accepted: 10 })
  rig.daemon.settle()
  rig.pass(60)
  const next = new LedgerRig(new CountedDaemon(5000, 2, 'b'), rig.directory, rig.clock)
  next.ledger.open()
  t.match(
    next.incidents.map(({ kind }) => kind),
    ['ledger_imbalance', 'ledger_interrupted'],
  )
  const { lines } = next.ledger.report(EVER, undefined)
  t.match(lines[2], { type: 'interrupted', shards: [{ records: 0, to_seq: 5000 }] })
})

t.test('a clock that is set back closes the minute, and loses no count', async (t) => {
  const rig = open(t)
  rig.daemon.receive()
  rig.daemon.take({ accepted: 1 })
  rig.clock.stepWall(-3_600_000)
  rig.pass(1)
  rig.daemon.receive()
  rig.daemon.take({ accepted: 1 })
  rig.pass(60)
  const { lines, ok } = rig.ledger.report(EVER, undefined)
  const accepted = lines.flatMap((line) => (line.type === 'minute' ? line.shards[0]?.accepted : []))
  t.same(accepted, [1, 1])
  t.equal(ok, true)
})
