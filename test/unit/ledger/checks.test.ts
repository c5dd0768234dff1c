import { readFileSync } from 'node:fs'
import t from 'tap'
import { CHECKS, check, SUSTAINED, Watch } from '../../../src/ledger/checks.ts'
import { takeSample } from '../../../src/ledger/sample.ts'
import { CountedDaemon } from './ledger-fixture.ts'

function names(daemon: CountedDaemon): string[] {
  const sample = takeSample(daemon.inputs)
  return check(daemon.inputs, sample).map((finding) => `${finding.check} ${finding.amount}`)
}

t.test('a daemon that counts everything balances, at rest and with work under way', async (t) => {
  const daemon = new CountedDaemon(1000)
  t.same(names(daemon), [])
  daemon.receive()
  t.same(names(daemon), [], 'a frame on the ring is in flight')
  daemon.take({ accepted: 3, duplicate: 1, quarantined: 2, ignored: 4, rejected: 5 })
  t.same(names(daemon), [], 'decoded, and not durable')
  daemon.written = daemon.published
  daemon.durable = daemon.published - 1
  t.same(names(daemon), [], 'each position behind the one before it')
  daemon.settle()
  t.same(names(daemon), [])
})

t.test('each balance that does not hold is found, with its amount', async (t) => {
  const cases: [what: string, spoil: (daemon: CountedDaemon) => void, finding: string][] = [
    ['a frame vanished', (d) => d.source.add('frames'), 'frames_lost 1'],
    ['bytes vanished', (d) => d.source.add('bytes', 9), 'frames_lost 1'],
    ['a frame came twice', (d) => d.decode.add('frames', 2), 'frames_extra 2'],
    ['a message vanished', (d) => d.decode.add('messages'), 'messages 1'],
    ['a message was counted twice', (d) => d.decode.add('ignored_bar'), 'messages -1'],
    ['a record vanished', (d) => d.decode.add('records', 7), 'records 7'],
    ['a reason is missing', (d) => d.decode.add('quarantined_unknown_kind', -1), 'quarantined 1'],
    ['a record was published uncounted', (d) => d.published++, 'published 1'],
    ['a record was never published', (d) => d.published--, 'published -1'],
    ['stored before durable', (d) => (d.durable -= 2), 'positions 2'],
    ['skipped and not counted', (d) => d.serve.add('records_published', 5), 'delivered 5'],
    ['a subscription', (d) => d.serve.add('subscriptions_unbalanced'), 'subscriptions 1'],
  ]
  for (const [what, spoil, finding] of cases) {
    const daemon = new CountedDaemon()
    daemon.receive()
    daemon.take({ accepted: 5, quarantined: 1 })
    daemon.settle()
    spoil(daemon)
    t.match(names(daemon), [finding], what)
  }
})

t.test('frames of dead letters that are driven again are received as well', async (t) => {
  const daemon = new CountedDaemon()
  daemon.driven.add('frames')
  daemon.driven.add('bytes', 100)
  daemon.take({ accepted: 1 })
  daemon.fillBytes = 0
  t.same(names(daemon), [])
})

t.test('an accident of the instant is no imbalance; one that stays is', async (t) => {
  const daemon = new CountedDaemon()
  const watch = new Watch(daemon.inputs)
  const look = () => watch.look(takeSample(daemon.inputs)).map(({ amount }) => amount)
  for (let i = 0; i < 10; i++) {
    daemon.decode.add('messages')
    t.same(look(), [], 'half-counted')
    daemon.decode.add('ignored_bar')
    t.same(look(), [], 'and whole again')
  }
  daemon.decode.add('messages', 2)
  for (let i = 1; i < SUSTAINED; i++) t.same(look(), [])
  t.same(look(), [2])
  daemon.decode.add('messages', 40)
  t.same(look(), [2], 'the smallest of the last samples: the rest may be in flight')
  t.same(look(), [2])
  t.same(look(), [42], 'no longer')
  daemon.decode.add('ignored_bar', 42)
  t.same(look(), [], 'it may be mended')
})

t.test('a difference that changes its sign is no loss', async (t) => {
  const daemon = new CountedDaemon()
  const watch = new Watch(daemon.inputs)
  for (let i = 0; i < 20; i++) {
    daemon.published += i % 2 === 0 ? 1 : -2
    t.same(watch.look(takeSample(daemon.inputs)), [])
    if (i % 2 === 1) daemon.published++
  }
})

t.test('the store is held to its own counts while it stays connected', async (t) => {
  const daemon = new CountedDaemon(500)
  const watch = new Watch(daemon.inputs)
  const look = () =>
    watch.look(takeSample(daemon.inputs)).map((one) => `${one.check} ${one.amount}`)
  daemon.stored = 100
  look()
  daemon.receive()
  daemon.take({ accepted: 50 })
  daemon.settle()
  t.same([look(), look(), look()].flat(), [], 'stored what it says')
  daemon.postgres.add('records_refused', 3)
  daemon.stored = 553
  daemon.durable = 553
  daemon.written = 553
  daemon.published = 553
  daemon.decode.add('records_accepted', 3)
  daemon.decode.add('records', 3)
  t.same([look(), look(), look()].flat(), [], 'refused ones pass its position as well')
  daemon.stored = 550
  t.same([look(), look(), look()].flat(), ['stored -3'], 'rows that are counted and not stored')
  daemon.postgres.add('connects')
  daemon.stored = 20
  t.same([look(), look(), look()].flat(), [], 'at a connection the database says where it stands')
  daemon.postgres.add('connects')
  daemon.stored = 40
  t.same(look(), [], 'read between the position of the first commit and its count')
  daemon.postgres.add('records', 20)
  t.same([look(), look(), look()].flat(), [], 'what two readings agree on is held to')
  daemon.stored = 39
  t.same([look(), look(), look()].flat(), ['stored -1'])
  daemon.stored = 40
  daemon.postgres.set('connected', 0)
  t.same([look(), look(), look()].flat(), [], 'away')
  daemon.postgres.add('records_lost', 10)
  daemon.postgres.set('connected', 1)
  look()
  daemon.stored += 10
  t.same([look(), look(), look()].flat(), [], 'what the journal no longer had is passed over')
  daemon.stored = undefined
  t.same(look(), [], 'off')
})

t.test('docs/ledger.md explains every check', async (t) => {
  const text = readFileSync(new URL('../../../docs/ledger.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  t.same(rows, CHECKS)
})
