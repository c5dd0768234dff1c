import t from 'tap'
import {
  SnapshotQueue,
  spotDepthWeight,
  usdmDepthWeight,
} from '../../../../src/source/venue/binance-snapshots.ts'

function queue(weightMax = 6000, limit = 1000): SnapshotQueue {
  return new SnapshotQueue({ limit, weightMax, weightOf: spotDepthWeight })
}

t.test('one request at a time, in the order of asking', async (t) => {
  const q = queue()
  q.want('A')
  q.want('B')
  q.want('A')
  t.equal(q.next(0), 'A')
  t.notOk(q.isIdle)
  t.equal(q.next(0), undefined)
  q.want('A')
  q.done(10, 50)
  t.equal(q.next(10), 'B')
  q.done(20, 100)
  t.equal(q.next(20), undefined, 'what was asked for while it was fetched is answered by it')
})

t.test('the same symbol is asked for again after two seconds at the earliest', async (t) => {
  const q = queue()
  q.want('A')
  q.next(0)
  q.done(100, undefined)
  q.want('A')
  t.equal(q.next(2099), undefined)
  t.equal(q.next(2100), 'A')
})

t.test('half of the weight of a minute is used, then it waits for the next minute', async (t) => {
  const q = queue(1200)
  const symbols = Array.from({ length: 100 }, (_, i) => `S${i}`)
  for (const symbol of symbols) q.want(symbol)
  const fetched = (fromMs: number) => {
    let count = 0
    while (q.next(fromMs) !== undefined) {
      q.done(fromMs, undefined)
      count++
    }
    return count
  }
  t.equal(fetched(0), 60)
  t.equal(fetched(59_999), 0)
  t.equal(fetched(60_000), 40)
})

t.test('what the venue says was used counts: the address may have other users', async (t) => {
  const q = queue(6000)
  for (const symbol of ['A', 'B', 'C']) q.want(symbol)
  q.next(0)
  q.done(0, 2960)
  t.equal(q.next(0), undefined, '2,960 + 50 is more than half of 6,000')
  t.equal(q.next(60_000), 'B')
})

t.test('a snapshot dearer than the share goes when nothing else was used', async (t) => {
  const q = queue(100, 5000)
  q.want('A')
  t.equal(q.next(0), 'A')
  q.done(0, undefined)
  q.want('B')
  t.equal(q.next(0), undefined)
  t.equal(q.next(60_000), 'B')
})

t.test('a failed symbol is tried again, later each time; others are not held up', async (t) => {
  const q = queue()
  q.want('A')
  q.want('B')
  t.equal(q.next(0), 'A')
  q.failed(0, undefined)
  t.equal(q.next(0), 'B')
  q.done(0, undefined)
  t.equal(q.next(1999), undefined)
  t.equal(q.next(2000), 'A')
  q.failed(2000, undefined)
  t.equal(q.next(5999), undefined)
  t.equal(q.next(6000), 'A')
})

t.test('a venue that says wait is left alone, for all symbols', async (t) => {
  const q = queue()
  q.want('A')
  q.want('B')
  q.next(0)
  q.failed(0, 120_000)
  t.equal(q.next(119_999), undefined)
  t.equal(q.next(120_000), 'A')
})

t.test('a refused symbol is not asked for again until it is wanted anew', async (t) => {
  const q = queue()
  q.want('A')
  q.next(0)
  q.refused()
  t.equal(q.next(1_000_000), undefined)
  q.want('A')
  t.equal(q.next(1_000_000), 'A')
})

t.test('weights are those of the venue, before and after its upgrade', async (t) => {
  const limits = [100, 500, 1000, 5000]
  t.same(
    limits.map((limit) => spotDepthWeight(limit, 1200)),
    [1, 5, 10, 50],
  )
  t.same(
    limits.map((limit) => spotDepthWeight(limit, 6000)),
    [5, 25, 50, 250],
  )
  t.same([50, 100, 500, 1000].map(usdmDepthWeight), [2, 5, 10, 20])
})
