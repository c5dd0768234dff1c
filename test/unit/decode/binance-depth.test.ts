import t from 'tap'
import { DecodeRig } from '../../support/decode-rig.ts'

type Levels = [price: string, size: string][]

const EVENT_MS = 1723161256299

/** A spot depth update of ids U … u. */
function update(U: number, u: number, b: Levels = [['1.5', '2']], a: Levels = []) {
  return { e: 'depthUpdate', E: EVENT_MS, s: 'BTCUSDT', U, u, b, a }
}

function futuresUpdate(pu: number, U: number, u: number, b: Levels = [['1.5', '2']]) {
  return { ...update(U, u, b), pu, T: EVENT_MS }
}

function snapshot(lastUpdateId: number, bids: Levels = [['1.4', '9']], asks: Levels = []) {
  return { stream: 'btcusdt@depthSnapshot', data: { lastUpdateId, bids, asks } }
}

/** 'set 1.5 2 @7': action, price, size and update id of each record. */
function book(rig: DecodeRig): string[] {
  return rig
    .records()
    .map((r, i) =>
      r.type === 'book'
        ? `${r.action} ${r.side} ${r.price} ${r.size} @${rig.payload(i, 2)}`
        : `${r.status} ${r.from}-${r.to}`,
    )
}

t.test('an update is a record a level, bids first, with the last one flagged', async (t) => {
  const rig = new DecodeRig('binance')
  const records = rig.send(
    update(
      5,
      7,
      [['1.5', '2']],
      [
        ['1.6', '0.00000000'],
        ['1.7', '3'],
      ],
    ),
  )
  t.same(book(rig), ['set buy 1.5 2 @7', 'delete sell 1.6 0 @7', 'set sell 1.7 3 @7'])
  t.same(
    records.map((record) => record.flags),
    [[], [], ['last']],
  )
  t.equal(records[2]?.ts_event, '2024-08-08T23:54:16.299000000Z')
  t.same(rig.counts, { messages: 1, decoded: 1, 'event book': 1 })
  t.equal(rig.tally.records, 3)
})

t.test('updates are recorded without a snapshot, and their order is watched', async (t) => {
  const rig = new DecodeRig('binance')
  t.equal(rig.outcome(update(5, 7)), 'decoded')
  t.equal(rig.outcome(update(8, 9)), 'decoded')
  t.equal(rig.outcome(update(8, 9)), 'ignored stale_depth', 'a repeat')
  t.equal(rig.outcome(update(9, 12)), 'decoded', 'overlaps and goes on')
  rig.tally.reset()
  const records = rig.send(update(20, 21))
  t.same(book(rig), ['gap 13-19', 'set buy 1.5 2 @21'])
  t.same(records[0]?.flags, ['last', 'synthetic'])
  t.same(rig.gaps, [[1, 13, 19]])
  t.equal(rig.tally.gaps, 1)
  t.same(rig.counts, { messages: 1, decoded: 1, 'event book': 1, 'event status': 1 })
  t.equal(rig.tally.records, 2)
})

t.test('a decoder made anew asks for a snapshot of each book that it begins', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(update(5, 7))
  t.same(rig.gaps, [], 'not the first one: the source asks by itself')
  const successor = new DecodeRig('binance')
  successor.tally.isResumed = true
  t.same(successor.send(update(9, 9)).length, 1, 'nothing is known to be missing')
  successor.send(update(10, 10))
  t.same(successor.gaps, [[1, 10, 9]], 'once, and no id is missing')
  t.equal(successor.tally.gaps, 0)
  t.equal(successor.outcome(snapshot(9)), 'decoded')
})

t.test('a snapshot before the stream is an image; what it includes is stale', async (t) => {
  const rig = new DecodeRig('binance')
  const records = rig.send(snapshot(10, [['1.4', '9']], [['1.6', '1']]))
  t.same(book(rig), ['clear none null null @10', 'set buy 1.4 9 @10', 'set sell 1.6 1 @10'])
  t.same(
    records.map((record) => record.flags),
    [['snapshot'], ['snapshot'], ['last', 'snapshot']],
  )
  t.equal(rig.counts['event book'], 1, 'one event')
  t.equal(rig.outcome(update(5, 10)), 'ignored stale_depth')
  t.equal(rig.outcome(update(9, 12)), 'decoded', 'U ≤ last + 1 ≤ u')
  t.equal(rig.outcome(update(13, 13)), 'decoded')
  t.equal(rig.tally.gaps, 0)
})

t.test('a first update beyond the snapshot is a gap', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(snapshot(10))
  rig.send(update(13, 14))
  t.same(book(rig), ['gap 11-12', 'set buy 1.5 2 @14'])
})

t.test('a snapshot behind the stream is completed by what came since', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(update(5, 7, [['1.1', '1']]))
  rig.send(update(8, 9, [['1.2', '1']]))
  rig.send(update(10, 12, [['1.3', '0']], [['1.9', '4']]))
  const records = rig.send(snapshot(8))
  t.same(book(rig), [
    'clear none null null @8',
    'set buy 1.4 9 @8',
    'set buy 1.2 1 @9',
    'delete buy 1.3 0 @12',
    'set sell 1.9 4 @12',
  ])
  t.ok(records.every((record) => (record.flags as string[]).includes('snapshot')))
  t.same(records.at(-1)?.flags, ['last', 'snapshot'])
  t.equal(rig.outcome(update(13, 13)), 'decoded', 'the stream goes on where it was')
  t.equal(rig.outcome(snapshot(9)), 'ignored unused_snapshot', 'the book is whole')
  t.equal(rig.outcome(snapshot(20)), 'decoded', 'a newer one replaces it')
  t.equal(rig.outcome(update(14, 20)), 'ignored stale_depth')
  t.equal(rig.tally.gaps, 0)
})

t.test('a snapshot too old for the stream is not used, and another is asked for', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(update(15, 17))
  t.equal(rig.outcome(snapshot(13)), 'ignored unused_snapshot')
  t.same(rig.gaps, [[1, 14, 13]], 'an empty range: nothing is missing')
  t.equal(rig.tally.gaps, 0)
  t.equal(rig.outcome(snapshot(14)), 'decoded', 'U of the first kept update is the next id')
})

t.test('after a gap the next snapshot makes the book whole again', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(snapshot(10))
  rig.send(update(11, 12))
  rig.send(update(20, 21, [['1.7', '1']]))
  rig.send(snapshot(19))
  t.same(book(rig), ['clear none null null @19', 'set buy 1.4 9 @19', 'set buy 1.7 1 @21'])
  t.equal(rig.outcome(update(22, 22)), 'decoded')
})

t.test('futures updates chain by pu', async (t) => {
  const rig = new DecodeRig('binanceUsdm', { venue: 'binance-usdm' })
  t.equal(rig.outcome(futuresUpdate(90, 100, 110)), 'decoded')
  t.equal(rig.outcome(futuresUpdate(110, 115, 120)), 'decoded', 'ids between are of others')
  t.equal(rig.tally.gaps, 0)
  rig.send(futuresUpdate(125, 130, 140))
  t.same(book(rig), ['gap 121-125', 'set buy 1.5 2 @140'])
  t.equal(rig.outcome(update(141, 142)), 'rejected missing_field', 'no pu')
  t.equal(rig.outcome(futuresUpdate(150, 150, 160)), 'rejected bad_field', 'follows itself')
})

t.test('a bare snapshot is for the one book of its source', async (t) => {
  const rig = new DecodeRig('binanceUsdm', { venue: 'binance-usdm' })
  const bare = { lastUpdateId: 105, E: EVENT_MS, T: EVENT_MS - 6, bids: [['1', '1']], asks: [] }
  t.equal(rig.outcome(bare), 'rejected missing_field', 'no book yet')
  rig.send(futuresUpdate(90, 100, 110))
  const records = rig.send(bare)
  t.same(book(rig), ['clear none null null @105', 'set buy 1 1 @105', 'set buy 1.5 2 @110'])
  t.equal(records[0]?.ts_event, '2024-08-08T23:54:16.293000000Z')
  rig.send({ ...futuresUpdate(1, 2, 3), s: 'ETHUSDT' })
  t.equal(rig.outcome(bare), 'rejected missing_field', 'two books')
})

t.test('an update without levels moves the book on and is ignored', async (t) => {
  const rig = new DecodeRig('binance')
  t.equal(rig.outcome(update(1, 2, [], [])), 'ignored empty')
  t.equal(rig.outcome(update(3, 4)), 'decoded')
  t.equal(rig.tally.gaps, 0)
  rig.tally.reset()
  rig.send(update(9, 9, [], []))
  t.same(book(rig), ['gap 5-8'], 'its gap is recorded')
  t.same(rig.counts, { messages: 1, decoded: 1, 'event status': 1 })
})

t.test('a rejected update changes nothing; the next one reveals the gap', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(update(1, 2))
  for (const b of [[['1']], [['1', 2]], [[]], [1], [['x', '1']], [['1', '1', 'x']], 'x', null]) {
    const outcome = rig.outcome({ ...update(3, 4), b })
    t.match(outcome, /^rejected/, JSON.stringify(b))
    t.equal(rig.batch.count, 0)
  }
  t.equal(rig.outcome({ ...update(3, 4), b: [['1', '1', [], 0]] }), 'decoded', 'surplus elements')
  t.equal(rig.outcome({ ...update(5, 6), a: [['1', 'x']] }), 'rejected bad_decimal')
  rig.send(update(7, 8))
  t.match(book(rig), ['gap 5-6'])
})

t.test('ids that cannot be are rejected', async (t) => {
  const rig = new DecodeRig('binance')
  t.equal(rig.outcome(update(3, 2)), 'rejected bad_field')
  t.equal(rig.outcome(update(-1, 2)), 'rejected bad_field')
  t.equal(rig.outcome(update(1.5, 2)), 'rejected bad_field')
  const text = JSON.stringify(update(1, 77))
  t.equal(rig.outcome(text.replace('77', '9007199254740992')), 'rejected overflow')
  t.equal(rig.outcome(text.replace('77', '9007199254740991')), 'decoded')
})

t.test('books of instruments are independent', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(update(1, 2))
  t.equal(rig.outcome({ ...update(100, 101), s: 'ETHUSDT' }), 'decoded')
  t.equal(rig.outcome(update(3, 4)), 'decoded')
  t.equal(rig.tally.gaps, 0)
})

t.test('ids that begin anew are noticed, as a gap', async (t) => {
  const rig = new DecodeRig('binance')
  rig.send(snapshot(1_000_000))
  let outcome = ''
  let count = 0
  for (; count < 1000 && outcome !== 'decoded'; count++) {
    outcome = rig.outcome(update(1 + count, 1 + count))
  }
  t.equal(outcome, 'decoded')
  t.equal(rig.tally.gaps, 1)
  t.equal(rig.gaps.length, 1, 'a fresh snapshot is asked for')
  t.equal(rig.outcome(update(1 + count, 1 + count)), 'decoded')
  t.equal(rig.outcome(snapshot(count)), 'decoded')
})

t.test('an unsynced book keeps a bounded tail, and says when a snapshot is older', async (t) => {
  const rig = new DecodeRig('binance')
  const levels = (n: number): Levels => Array.from({ length: n }, (_, i) => [`${i + 1}`, '1'])
  for (let id = 1; id <= 100; id++) rig.send(update(id, id, levels(100)))
  t.equal(rig.outcome(snapshot(1)), 'ignored unused_snapshot', 'long gone')
  rig.send(snapshot(95))
  t.equal(rig.batch.count, 2 + 500, 'clear, one level, five updates')
  rig.send(update(200, 200))
  rig.send(update(201, 201, levels(3000)))
  t.equal(rig.outcome(snapshot(200)), 'ignored unused_snapshot', 'larger than all that is kept')
  t.equal(rig.outcome(snapshot(201)), 'decoded')
})
