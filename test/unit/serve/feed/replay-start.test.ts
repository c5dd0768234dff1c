// Where a replay begins that goes further back than the journal.

import t from 'tap'
import type { Checkpoint } from '../../../../src/serve/feed/checkpoints.ts'
import type { EpochStart, FeedJournal } from '../../../../src/serve/feed/feed-journal.ts'
import { startOf } from '../../../../src/serve/feed/replay-start.ts'
import { Selection } from '../../../../src/serve/feed/selection.ts'
import { Stream } from '../../../../src/serve/feed/stream.ts'
import { writeSplit } from '../../../../src/tick/fixed-point.ts'
import { KIND, KIND_COUNT } from '../../../../src/tick/layout.ts'

const STREAM = new Stream(
  1,
  { name: 'trades', selection: new Selection(['A']), shard: undefined },
  5,
  16,
)
STREAM.instruments.push(1)

/** The journal has kept the end of epoch 4 and epoch 5; sequences before 4000 are gone. */
function journal(isStored: boolean, more: Partial<FeedJournal> = {}): FeedJournal {
  const starts: EpochStart[] = [{ epoch: 4, seq: 4000, isFirst: false }]
  const store = { isFull: false, open: () => undefined }
  return {
    shard: 0,
    epoch: 5,
    firstSeq: 5000,
    originSeq: 0,
    id: 'a',
    oldest: () => 4000,
    durable: () => 6000,
    ...(isStored ? { store } : {}),
    epochStarts: () => starts,
    open: () => {
      throw new Error('nothing is read')
    },
    ...more,
  }
}

const begin = (epoch: number, seq: number): Checkpoint => ({
  epoch,
  seq,
  recvMs: seq * 10,
  counts: new Float64Array(0),
})

function place(epoch: number, seq: number, trades: number): Checkpoint {
  const counts = new Float64Array(2 * KIND_COUNT)
  counts[KIND_COUNT + KIND.trade] = trades
  return { epoch, seq, recvMs: seq * 10, counts }
}

const ALL = [
  begin(1, 0),
  place(1, 600, 500),
  begin(2, 1000),
  begin(3, 1000),
  place(3, 2000, 900),
  begin(4, 3000),
  place(4, 3500, 400),
  begin(5, 5000),
]

function moment(ms: number) {
  const words = new Int32Array(2)
  writeSplit(words, 0, false, Math.floor(ms / 1000), (ms % 1000) * 1e6)
  return { words, ms }
}

t.test('a sequence: the nearest place before it, in the store too', (t) => {
  const at = (epoch: number, seq: number, list = ALL) => {
    const start = startOf(journal(true), list, STREAM, { epoch, seq })
    return typeof start === 'string' ? start : [start.epoch, start.seq, start.streamSeq]
  }
  t.same(at(1, 1), [1, 0, 1])
  t.same(at(1, 501), [1, 600, 501])
  t.same(at(3, 900), [3, 1000, 1])
  t.same(at(3, 901), [3, 2000, 901])
  t.same(at(4, 401), [4, 3500, 401])
  t.same(at(5, 7), [5, 5000, 1])
  t.same(at(2, 5), [2, 1000, 1], 'an epoch without a record: what follows is the next one')
  t.equal(at(6, 1), 'unknown_sequence')
  t.end()
})

t.test('a time: the last place before it', (t) => {
  const at = (ms: number, list = ALL) => {
    const start = startOf(journal(true), list, STREAM, moment(ms))
    return typeof start === 'string' ? start : [start.epoch, start.seq]
  }
  t.same(at(6001), [1, 600])
  t.same(at(25_000), [3, 2000])
  t.same(at(60_000), [5, 5000])
  t.same(at(-5), [1, 0], 'nothing was ever before')
  t.same(at(10, ALL.slice(3)), 'replay_aged_out', 'something was, and nobody knows what')
  t.end()
})

t.test('no further back than each beginning is known', (t) => {
  const without = (epoch: number) => ALL.filter((each) => each.epoch !== epoch)
  const at = (epoch: number, list: Checkpoint[]) => {
    const start = startOf(journal(true), list, STREAM, { epoch, seq: 1 })
    return typeof start === 'string' ? start : start.epoch
  }
  t.equal(at(4, without(3)), 4)
  t.equal(at(3, without(3)), 'replay_aged_out')
  t.equal(at(2, without(3)), 'replay_aged_out', 'its records and the next ones’ look alike')
  t.equal(at(1, without(2)), 'replay_aged_out')
  t.equal(at(1, without(4)), 'replay_aged_out')
  const start = startOf(journal(true), ALL, STREAM, { epoch: 1, seq: 1 })
  t.same(typeof start === 'string' ? start : start.epochs.map(({ epoch, seq }) => [epoch, seq]), [
    [1, 0],
    [2, 1000],
    [3, 1000],
    [4, 3000],
    [5, 5000],
  ])
  t.end()
})

t.test('without a store what the journal has forgotten is gone', (t) => {
  const at = (target: Parameters<typeof startOf>[3]) => startOf(journal(false), ALL, STREAM, target)
  t.equal(at({ epoch: 3, seq: 950 }), 'replay_aged_out')
  t.equal(at({ epoch: 4, seq: 1 }), 'replay_aged_out')
  t.match(at({ epoch: 5, seq: 1 }), { epoch: 5, seq: 5000, streamSeq: 1 })
  t.end()
})
