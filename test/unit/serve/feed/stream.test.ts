import t from 'tap'
import { Router } from '../../../../src/serve/feed/router.ts'
import { Selection } from '../../../../src/serve/feed/selection.ts'
import { type Stream, StreamRegistry } from '../../../../src/serve/feed/stream.ts'
import { Tally } from '../../../../src/serve/feed/tally.ts'
import { InstrumentTable } from '../../../../src/tick/instruments.ts'
import { KIND } from '../../../../src/tick/layout.ts'
import { ticks } from '../../../support/serve-rig.ts'

function setUp(streamsMax = 10, frameTicks = 4) {
  const instruments = new InstrumentTable(InstrumentTable.create(16), 16)
  const flushed: [stream: number, count: number][] = []
  const onFull = (stream: Stream) => {
    flushed.push([stream.id, stream.frame.batch.count])
    stream.frame.reset()
  }
  const tally = new Tally(16, 1, 0)
  const events = new Router({ onFull, tally })
  const values = new Router({ onFull })
  const registry = new StreamRegistry({
    streamsMax,
    frameTicks,
    instruments,
    shards: [{ epoch: 1, router: events, tally }],
    values,
  })
  const key = (...patterns: string[]) => {
    return { name: 'trades' as const, selection: new Selection(patterns), shard: undefined }
  }
  const open = (...patterns: string[]) => registry.open(key(...patterns)) as Stream
  return { instruments, events, registry, key, open, flushed }
}

const instrumentsIn = ({ frame: { batch } }: Stream) =>
  Array.from({ length: batch.count }, (_, i) => batch.instrument(i))

t.test('records go to all streams of their instrument and kind, and to no other', (t) => {
  const { instruments, events, open } = setUp()
  const [a = 0, b = 0] = ['A', 'B'].map((symbol) => instruments.add('v', symbol))
  const [all, onlyB] = [open('*'), open('B')]
  events.route(
    ticks([
      { instrument: a, value: 1 },
      { instrument: b, value: 2 },
      { kind: KIND.quote, instrument: b, value: 3 },
      { instrument: 9, value: 4 },
      { kind: 200, instrument: a, value: 5 },
    ]),
  )
  t.same(instrumentsIn(all), [a, b])
  t.same(instrumentsIn(onlyB), [b])
  t.same(events.dirty, [all, onlyB])
  t.end()
})

t.test('a full frame is flushed in the middle of a batch, and nothing is lost', (t) => {
  const { instruments, events, open, flushed } = setUp()
  const a = instruments.add('v', 'A')
  const stream = open('A')
  events.route(ticks(Array.from({ length: 10 }, (_, value) => ({ instrument: a, value }))))
  t.same(flushed, [
    [stream.id, 4],
    [stream.id, 4],
  ])
  t.equal(stream.frame.batch.count, 2)
  t.same(events.dirty, [stream], 'it waits once for its flush')
  t.end()
})

t.test('a closed stream is routed to no more; the others of its instruments are', (t) => {
  const { instruments, events, registry, open } = setUp()
  const a = instruments.add('v', 'A')
  const [first, second] = [open('A'), open('*')]
  registry.close(first)
  events.route(ticks([{ instrument: a, value: 1 }]))
  t.equal(first.frame.batch.count, 0)
  t.equal(second.frame.batch.count, 1)
  t.equal(registry.count, 1)
  t.not(open('A').id, first.id, 'ids are not used again')
  t.end()
})

t.test('instruments that appear later join once, wherever they match', (t) => {
  const { instruments, events, registry, open } = setUp()
  const before = open('A*')
  const a = instruments.add('v', 'A1')
  const between = open('*')
  const b = instruments.add('v', 'B1')
  const joins: [stream: number, ids: number[]][] = []
  for (let i = 0; i < 2; i++) {
    registry.join((stream, joined) => joins.push([stream.id, joined.map(({ id }) => id)]))
  }
  t.same(joins, [
    [before.id, [a]],
    [between.id, [b]],
  ])
  events.route(ticks([a, b].map((instrument) => ({ instrument, value: 1 }))))
  t.same(instrumentsIn(before), [a])
  t.same(instrumentsIn(between), [a, b])
  t.end()
})

t.test('beyond the limit only streams that exist are opened', (t) => {
  const { registry, key, open } = setUp(1)
  const only = open('A')
  t.equal(open('A'), only)
  t.equal(registry.open(key('B')), undefined)
  t.end()
})
