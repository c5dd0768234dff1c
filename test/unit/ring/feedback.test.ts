// Receipts and resync requests, as doubles and words across the ring.

import t from 'tap'
import { FEEDBACK_RING_BYTES, RECEIPTS_OUTSTANDING_MAX, SEQ_MAX } from '../../../src/limits.ts'
import { FeedbackReceiver, FeedbackSender, type Receipt } from '../../../src/ring/feedback.ts'
import { frameRingBytes } from '../../../src/ring/frame-ring-layout.ts'

function createPair(capacity: number) {
  const memory = new SharedArrayBuffer(frameRingBytes(capacity))
  const receipts: Receipt[] = []
  const resyncs: [number, number][] = []
  const receiver = new FeedbackReceiver(memory)
  const drain = () =>
    receiver.drain({
      onReceipt: (receipt) => receipts.push(receipt),
      onResync: (source, instrument) => resyncs.push([source, instrument]),
    })
  return { sender: new FeedbackSender(memory), drain, receipts, resyncs }
}

const none: Receipt = {
  token: 0,
  source: 0,
  firstSeq: 0,
  accepted: 0,
  duplicate: 0,
  rejected: 0,
  repeated: 0,
  isReused: false,
}

t.test('what is sent is what arrives, in order', async (t) => {
  const { sender, drain, receipts, resyncs } = createPair(1024)
  t.equal(drain(), 0)
  const receipt = { ...none, token: 2 ** 32 - 1, source: 9, firstSeq: SEQ_MAX, accepted: 1 }
  t.ok(sender.receipt({ ...receipt, duplicate: 2, rejected: 3, repeated: 4, isReused: true }))
  t.ok(sender.resync(65_535, 65_536))
  t.ok(sender.receipt({ ...receipt, token: 0, rejected: 0 }))
  t.equal(drain(), 3)
  t.same(receipts, [
    { ...receipt, duplicate: 2, rejected: 3, repeated: 4, isReused: true },
    { ...receipt, token: 0, rejected: 0 },
  ])
  t.same(resyncs, [[65_535, 65_536]])
})

t.test('a full ring refuses, and takes more when it is drained', async (t) => {
  const { sender, drain, resyncs } = createPair(1024)
  let sent = 0
  while (sender.resync(1, sent)) sent++
  t.ok(sent > 0)
  t.equal(sender.receipt({ ...none, token: 5 }), false)
  t.equal(drain(), sent)
  t.equal(resyncs.length, sent)
  t.ok(sender.receipt({ ...none, token: 5 }))
})

t.test('all receipts that may be outstanding fit', async (t) => {
  const { sender, drain, receipts } = createPair(FEEDBACK_RING_BYTES)
  for (let token = 0; token < RECEIPTS_OUTSTANDING_MAX; token++) {
    if (!sender.receipt({ ...none, token })) t.fail(`receipt ${token}`)
  }
  t.equal(drain(), RECEIPTS_OUTSTANDING_MAX)
  t.equal(receipts.at(-1)?.token, RECEIPTS_OUTSTANDING_MAX - 1)
})
