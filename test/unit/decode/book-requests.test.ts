import t from 'tap'
import { BookRequests } from '../../../src/decode/book-requests.ts'
import type { Decoder } from '../../../src/decode/decoder.ts'
import { FeedbackReceiver, FeedbackSender } from '../../../src/ring/feedback.ts'
import { frameRingBytes } from '../../../src/ring/frame-ring-layout.ts'
import { DecodeRig } from '../../support/decode-rig.ts'

const STRIDE = 256

function ring(): { sender: FeedbackSender; receiver: FeedbackReceiver } {
  const memory = new SharedArrayBuffer(frameRingBytes(4096))
  return { sender: new FeedbackSender(memory), receiver: new FeedbackReceiver(memory) }
}

t.test('a request goes to the source whose decoder has the book, and to no other', async (t) => {
  const [serve, source] = [ring(), ring()]
  const requests = new BookRequests({ wanted: [serve.receiver], source: source.sender })
  const decode = () => {}
  const has = (instrument: number): Decoder => ({ decode, resync: (i) => i === instrument })
  const decoders = new Map([
    [2 * STRIDE + 1, has(7)],
    [5 * STRIDE, has(8)],
    [6 * STRIDE + 3, { decode }],
  ])
  for (const instrument of [8, 9, 7]) serve.sender.resync(0, instrument)
  requests.drain(decoders, STRIDE)
  requests.drain(decoders, STRIDE)
  const asked: number[][] = []
  source.receiver.drain({ onReceipt() {}, onResync: (...request) => void asked.push(request) })
  t.same(asked, [
    [5, 8],
    [2, 7],
  ])
})

t.test('each thread that serves asks on a ring of its own', async (t) => {
  const [one, other, source] = [ring(), ring(), ring()]
  const wanted = [one.receiver, other.receiver]
  const requests = new BookRequests({ wanted, source: source.sender })
  const decoders = new Map([[0, { decode() {}, resync: () => true }]])
  one.sender.resync(0, 7)
  other.sender.resync(0, 8)
  requests.drain(decoders, STRIDE)
  const asked: number[] = []
  source.receiver.drain({
    onReceipt() {},
    onResync: (_, instrument) => void asked.push(instrument),
  })
  t.same(asked, [7, 8])
})

for (const format of ['binance', 'binanceUsdm'] as const) {
  t.test(`${format}: behind a request the next snapshot counts, whatever came meanwhile`, (t) => {
    const rig = new DecodeRig(format)
    const update = (U: number, u: number) => ({
      ...{ e: 'depthUpdate', E: 1723161256299, T: 1723161256299, s: 'BTCUSDT', U, u, pu: U - 1 },
      b: [['1.5', String(u)]],
      a: [],
    })
    const snapshot = (lastUpdateId: number) => ({
      stream: 'btcusdt@depthSnapshot',
      data: { lastUpdateId, bids: [['1.4', '9']], asks: [] },
    })
    t.equal(rig.resync(1), false, 'nothing is known of the book')
    rig.send(update(5, 7))
    t.equal(rig.outcome(snapshot(7)), 'decoded')
    rig.send(update(8, 9))
    t.equal(rig.outcome(snapshot(8)), 'ignored unused_snapshot')
    t.equal(rig.resync(1), true)
    rig.send(update(10, 10))
    t.equal(rig.outcome(snapshot(8)), 'ignored unused_snapshot', 'older than the request')
    t.same(rig.gaps, [[1, 9, 8]], 'a fresh one is asked for, and nothing is missing')
    rig.send(update(11, 12))
    const sizes = rig.send(snapshot(10)).map((r) => (r.type === 'book' ? r.size : ''))
    t.same(sizes, [null, '9', '12'], 'the image, and what it does not include')
    t.end()
  })
}
