import t from 'tap'
import { check } from '../../../src/ledger/checks.ts'
import { type LedgerInputs, type LedgerShard, takeSample } from '../../../src/ledger/sample.ts'
import type { CounterSet } from '../../../src/ops/counters.ts'
import { CountedDaemon } from './ledger-fixture.ts'

/** The daemon's inputs with some of the shard's readings replaced. */
function hooked(daemon: CountedDaemon, hooks: Partial<LedgerShard>): LedgerInputs {
  const [shard] = daemon.inputs.shards as [LedgerShard]
  return { ...daemon.inputs, shards: [{ ...shard, ...hooks }] }
}

t.test('what a frame passes last is read first', async (t) => {
  const daemon = new CountedDaemon()
  const order: string[] = []
  const note = <Value>(name: string, value: Value) => {
    if (order.at(-1) !== name) order.push(name)
    return value
  }
  const watched = <Name extends string>(name: string, set: CounterSet<Name>) => {
    const get = (counter: Name) => note(name, set.get(counter))
    const values = new Proxy(set.values, {
      get: (target, key) => note(name, Reflect.get(target, key)),
    })
    return { names: set.names, values, get } as unknown as CounterSet<Name>
  }
  const [source] = daemon.inputs.sources
  const inputs = hooked(daemon, {
    fillBytes: () => note('ring', 0),
    stored: () => note('stored', 0),
    durable: () => note('durable', 0),
    written: () => note('written', 0),
    published: () => note('published', 0),
  })
  if (source === undefined) throw new Error('the fixture has a source')
  takeSample({
    ...inputs,
    sources: [
      {
        ...source,
        source: watched('received', daemon.source),
        decode: watched('decode', source.decode),
      },
    ],
  })
  t.same(order, [
    'received',
    'ring',
    'decode',
    'stored',
    'durable',
    'written',
    'published',
    'received',
  ])
})

t.test('a group that is published while it is read is waited for', async (t) => {
  const daemon = new CountedDaemon()
  daemon.receive()
  daemon.receive()
  let reads = 0
  const inputs = hooked(daemon, {
    published: () => {
      // Counted before it is read again: this reading has the publication without the count.
      if (++reads === 1) daemon.take({ accepted: 5 })
      return daemon.published
    },
  })
  const { shards, sources } = takeSample(inputs)
  t.equal(reads, 2)
  t.equal(shards[0]?.uncounted, 0)
  t.equal(sources[0]?.decode.records_accepted, 5)
})

t.test('a half-counted group is not taken for whole', async (t) => {
  const daemon = new CountedDaemon()
  daemon.decode.add('groups_begun')
  daemon.decode.add('messages', 4)
  let reads = 0
  const inputs = hooked(daemon, {
    fillBytes: () => {
      if (++reads === 4) {
        daemon.decode.add('ignored_control', 4)
        daemon.decode.add('groups')
      }
      return 0
    },
  })
  const sample = takeSample(inputs)
  t.equal(reads, 4, 'read until it was counted')
  t.same(check(inputs, sample), [])
})

t.test(
  'what never comes to rest is taken with the smallest difference, after a bound',
  async (t) => {
    const daemon = new CountedDaemon()
    let reads = 0
    const inputs = hooked(daemon, { published: () => (++reads === 7 ? 1 : 10 + reads) })
    t.equal(takeSample(inputs).shards[0]?.uncounted, 1)
    t.equal(reads, 32)
  },
)
