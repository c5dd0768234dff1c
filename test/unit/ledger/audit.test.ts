import t from 'tap'
import { audit } from '../../../src/ledger/audit.ts'
import { type LedgerLine, type MinuteLine, passage } from '../../../src/ledger/minute.ts'
import { type Sample, takeSample } from '../../../src/ledger/sample.ts'
import { CountedDaemon } from './ledger-fixture.ts'

/** A start and `minutes` minutes, in each of which two frames come and one waits at the end. */
function book(minutes: number): LedgerLine[] {
  const daemon = new CountedDaemon()
  const lines: LedgerLine[] = [
    { type: 'start', epoch: 1, at: 'T0', shards: [{ shard: 0, journal: 'a', next_seq: 0 }] },
  ]
  let cut: Sample | undefined
  daemon.receive()
  for (let i = 1; i <= minutes; i++) {
    daemon.receive()
    daemon.receive()
    daemon.take({ accepted: 2, duplicate: 1, rejected: 1 })
    daemon.take({ accepted: 1, quarantined: 1, ignored: 1 })
    daemon.settle()
    daemon.serve.add('records_published', 3)
    daemon.serve.add('records_delivered', 2)
    daemon.serve.add('records_skipped', 1)
    const sample = takeSample(daemon.inputs)
    const times = { minute: `T${i}`, from: `T${i - 1}`, to: `T${i}` }
    const passed = passage(daemon.inputs, cut, sample)
    lines.push({ type: 'minute', epoch: 1, ...times, end: 'minute', imbalances: [], ...passed })
    cut = sample
  }
  return lines
}

/** The findings after a change of one number in the second minute. */
function spoilt(change: (line: Mutable<MinuteLine>) => void): string[] {
  const lines = structuredClone(book(3))
  change(lines[2] as Mutable<MinuteLine>)
  return audit(lines).map(({ at, check, amount }) => `${at} ${check} ${amount}`)
}

type Mutable<Value> = Value extends object
  ? { -readonly [Key in keyof Value]: Mutable<Value[Key]> }
  : Value

t.test('a book that balances has no finding, also read from the middle', async (t) => {
  t.same(audit(book(4)), [])
  t.same(audit(book(4).slice(2)), [])
  t.same(audit([]), [])
})

t.test('every number of a line is held by another', async (t) => {
  const push = (line: Mutable<MinuteLine>) =>
    line.sources.push as Mutable<MinuteLine['sources'][string]>
  const shard = (line: Mutable<MinuteLine>) =>
    line.shards[0] as Mutable<MinuteLine['shards'][number]>
  t.same(
    spoilt((line) => push(line).frames.received--),
    ['T2 frames -1'],
  )
  t.same(
    spoilt((line) => push(line).frames.decoded--),
    ['T2 frames 1'],
  )
  t.same(
    spoilt((line) => push(line).frames.in_flight--),
    ['T2 frames 1', 'T3 frames -1'],
  )
  t.same(
    spoilt((line) => push(line).messages.total++),
    ['T2 messages 1'],
  )
  t.same(
    spoilt((line) => push(line).messages.decoded++),
    ['T2 messages -1'],
  )
  t.same(
    spoilt((line) => delete push(line).messages.rejected.bad_json),
    ['T2 messages 1'],
  )
  t.same(
    spoilt((line) => push(line).records.total--),
    ['T2 records -1'],
  )
  t.same(
    spoilt((line) => push(line).records.duplicate--),
    ['T2 records 1'],
  )
  t.same(
    spoilt((line) => push(line).records.accepted--),
    ['T2 records 1', 'T2 published 1'],
  )
  t.same(
    spoilt((line) => shard(line).accepted++),
    ['T2 published 1', 'T2 published -1'],
  )
  t.same(
    spoilt((line) => shard(line).published++),
    ['T2 published 1', 'T3 published -1'],
  )
  t.same(
    spoilt((line) => (shard(line).durable += 100)),
    ['T3 positions 97'],
  )
  t.same(
    spoilt((line) => line.serve.skipped--),
    ['T2 delivered 1'],
  )
  t.same(
    spoilt((line) => line.serve.published++),
    ['T2 delivered 1'],
  )
})

t.test('what the daemon itself found is told with the rest', async (t) => {
  const imbalance = { check: 'messages', subject: 'source push', amount: 7, evidence: {} }
  t.same(
    spoilt((line) => line.imbalances.push(imbalance)),
    ['T2 messages 7'],
  )
})

t.test('a start that has less than was durable is found', async (t) => {
  const lines = book(2)
  const shards = [{ shard: 0, journal: 'a', next_seq: 5 }]
  t.match(audit([...lines, { type: 'start', epoch: 2, at: 'T9', shards }]), [
    { at: 'T9', check: 'journal_start', amount: 1 },
  ])
  const more = [{ shard: 0, journal: 'a', next_seq: 6 }]
  t.same(audit([...lines, { type: 'start', epoch: 2, at: 'T9', shards: more }]), [])
  const other = [{ shard: 0, journal: 'b', next_seq: 1000 }]
  t.match(audit([...lines, { type: 'start', epoch: 2, at: 'T9', shards: other }]), [
    { check: 'journal_start', amount: 1, evidence: { another_journal: 1 } },
  ])
})
