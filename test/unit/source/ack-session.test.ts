import t from 'tap'
import { TCP_BATCHES_MAX } from '../../../src/limits.ts'
import { BATCH_PREFIX_BYTES } from '../../../src/ring/batch-mark.ts'
import type { Receipt } from '../../../src/ring/feedback.ts'
import { FRAME_FLAG } from '../../../src/ring/frame-ring.ts'
import { AckSession } from '../../../src/source/ack-session.ts'

const HELLO = '{"op":"hello","acks":true}\n'
const PATIENCE_MS = 1000

/** A session with a ring, a journal and a socket that do as they are told. */
class Rig {
  readonly frames: { flags: number; token: number; text: string }[] = []
  readonly said: Record<string, unknown>[] = []
  durable = 0
  /** The daemon has been up for longer than anybody waits. */
  nowMs = 10 * PATIENCE_MS
  isRingFull = false
  isSocketFull = false
  #token = 10
  readonly session: AckSession

  constructor(format: 'ndjson' | 'packed' = 'ndjson') {
    this.session = new AckSession({
      source: 'push',
      format,
      epoch: 7,
      shard: 2,
      durable: () => this.durable,
      nowMs: () => this.nowMs,
      freeToken: () => this.#token++,
      offer: (flags, token, a, aEnd, b, bStart, bEnd) => {
        if (this.isRingFull) return false
        const bytes = Buffer.concat([a.subarray(0, aEnd), b.subarray(bStart, bEnd)])
        const from = (flags & FRAME_FLAG.MARKED) === 0 ? 0 : BATCH_PREFIX_BYTES
        this.frames.push({ flags, token, text: bytes.subarray(from).toString() })
        return true
      },
      expect: () => {},
      send: (text) => {
        for (const line of text.split('\n').slice(0, -1)) this.said.push(JSON.parse(line))
        return !this.isSocketFull
      },
    })
  }

  /** Pushes in one piece; returns how much was taken. */
  push(text: string): number {
    const bytes = Buffer.from(text)
    return this.session.push(bytes, 0, bytes.length)
  }

  /** Decode's word on frame `index`. */
  receipt(index: number, firstSeq: number, accepted: number, more: Partial<Receipt> = {}): void {
    const token = this.frames[index]?.token ?? -1
    const counts = { accepted, duplicate: 0, rejected: 0, repeated: 0, isReused: false }
    this.session.onReceipt({ token, source: 0, firstSeq, ...counts, ...more })
  }

  settle(): Record<string, unknown>[] {
    const before = this.said.length
    this.session.settle(PATIENCE_MS)
    return this.said.slice(before)
  }
}

const batch = (id: string | undefined, body: string) =>
  `${JSON.stringify({ op: 'batch', id, bytes: Buffer.byteLength(body) })}\n${body}`

t.test('nothing is acknowledged before its last record is durable', async (t) => {
  const rig = new Rig()
  rig.push(`${HELLO}${batch('a', 'one\ntwo\n')}`)
  rig.durable = 1000
  t.same(rig.settle(), [], 'no receipt: decode has not seen it')
  rig.receipt(0, 1000, 2)
  t.same(rig.settle(), [])
  rig.durable = 1001
  t.same(rig.settle(), [], 'one of two')
  rig.durable = 1002
  t.match(rig.settle(), [{ op: 'ack', batch: 1, id: 'a', from_seq: 1000, to_seq: 1001, epoch: 7 }])
  t.same(rig.settle(), [], 'once')
})

t.test('a repeat waits for the records of the first try', async (t) => {
  const rig = new Rig()
  rig.push(`${HELLO}${batch('a', 'x\n')}${batch('a', 'x\n')}`)
  rig.receipt(0, 5, 1)
  rig.receipt(1, 5, 0, { repeated: 1, duplicate: 1 })
  rig.durable = 5
  t.same(rig.settle(), [])
  rig.durable = 6
  t.match(rig.settle(), [
    { batch: 1, accepted: 1, repeated: 0 },
    { batch: 2, accepted: 0, repeated: 1, from_seq: 5, to_seq: 5 },
  ])
})

t.test('acknowledgements keep the order of the batches', async (t) => {
  const rig = new Rig()
  rig.push(`${HELLO}${batch('a', 'x\n')}${batch('b', 'y\n')}${batch('c', 'z\n')}`)
  rig.durable = 100
  rig.receipt(1, 1, 1)
  t.same(rig.settle(), [], 'the first one is missing')
  rig.receipt(0, 0, 1)
  t.match(
    rig.settle().map(({ id }) => id),
    ['a', 'b'],
  )
  rig.receipt(2, 2, 0, { isReused: true })
  t.match(rig.settle(), [{ op: 'nack', id: 'c', code: 'id_reused', from_seq: null }])
})

t.test('a stream may come in pieces of any size', async (t) => {
  const bodies = ['one\n', 'é'.repeat(300), '{"op":"batch"}\n', '\n\n']
  const stream = Buffer.from(HELLO + bodies.map((body, i) => batch(`b${i}`, body)).join(''))
  for (let size = 1; size < 200; size++) {
    const rig = new Rig()
    for (let at = 0; at < stream.length; at += size) {
      const end = Math.min(stream.length, at + size)
      if (rig.session.push(stream, at, end) !== end) t.fail(`stopped at ${at}`)
    }
    const texts = rig.frames.map(({ text }) => text)
    if (texts.join('|') !== bodies.join('|')) t.fail(`pieces of ${size}: ${texts.join('|')}`)
    if (rig.session.keptBytes !== 0) t.fail('bytes are left')
  }
  t.pass('200 sizes')
})

t.test('a full ring, many batches and an unread socket hold the stream back', async (t) => {
  const rig = new Rig()
  rig.push(HELLO)
  const one = Buffer.from(batch('a', 'x\n'))
  rig.isRingFull = true
  const head = rig.session.push(one, 0, one.length)
  t.ok(head < one.length)
  t.notOk(rig.session.isWaiting, 'for room on the ring')
  rig.isRingFull = false
  t.equal(rig.session.push(one, head, one.length), one.length)
  for (let i = 1; i < TCP_BATCHES_MAX; i++) t.equal(rig.push(one.toString()), one.length)
  t.ok(rig.push(one.toString()) < one.length, 'the limit')
  t.ok(rig.session.isWaiting)
  t.equal(rig.frames.length, TCP_BATCHES_MAX)
  for (let i = 0; i < TCP_BATCHES_MAX; i++) rig.receipt(i, i, 1)
  rig.durable = TCP_BATCHES_MAX
  rig.isSocketFull = true
  t.equal(rig.settle().length, TCP_BATCHES_MAX)
  t.equal(rig.push('x\n'), 0, 'who does not read its answers is not read')
  t.notOk(rig.session.isSettled)
  rig.isSocketFull = false
  rig.settle()
  t.ok(rig.session.isSettled)
  t.equal(rig.push('x\n'), 2)
})

t.test('a receipt that never comes ends the session, and says so', async (t) => {
  const rig = new Rig()
  rig.push(`${HELLO}${batch('a', 'x\n')}`)
  rig.nowMs += PATIENCE_MS
  t.same(rig.settle(), [])
  rig.nowMs += 1
  t.match(rig.settle(), [{ op: 'error', code: 'not_confirmed' }])
  t.not(rig.session.refusal, '')
})

t.test('what is no batch is refused with a code', async (t) => {
  for (const [text, code] of [
    ['{"op":"hello"}\n', 'bad_hello'],
    ['{"op":"batch","bytes":1}\n', 'bad_line'],
    [`${HELLO}{"op":"batch"}\n`, 'bad_batch'],
    [`${HELLO}{"op":"batch","bytes":1.5}\n`, 'bad_batch'],
    [`${HELLO}{"op":"batch","bytes":1,"id":7}\n`, 'bad_batch'],
    [`${HELLO}[1]\n`, 'bad_line'],
    [`${HELLO}${'x'.repeat(2049)}`, 'bad_line'],
  ] as const) {
    const rig = new Rig()
    rig.push(text)
    t.match(rig.said.at(-1), { op: 'error', code }, text.slice(0, 50))
  }
  const packed = new Rig('packed')
  packed.push(`${HELLO}{"op":"batch","bytes":65}\n`)
  t.match(packed.said.at(-1), { op: 'error', code: 'bad_batch' })
})
