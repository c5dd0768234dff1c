// Frame ring on one thread: layout, order, room, pads, wrap-around, kept frames, attempts.

import t from 'tap'
import {
  type FrameMeta,
  FrameRingConsumer,
  FrameRingProducer,
} from '../../../src/ring/frame-ring.ts'
import {
  FRAME_DATA_OFFSET,
  FRAME_HEADER_BYTES,
  FRAME_OFFSET,
  FRAME_WORD,
  frameRingBytes,
  frameSize,
} from '../../../src/ring/frame-ring-layout.ts'

const CAPACITY = 1024

/** Memory of a ring whose positions stand at `position`, as after so many bytes of use. */
function ringAt(position: number, capacity = CAPACITY): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(frameRingBytes(capacity))
  const words = new Int32Array(memory)
  words[FRAME_WORD.producerPosition] = position | 0
  words[FRAME_WORD.consumerPosition] = position | 0
  return memory
}

function metaOf(token: number): FrameMeta {
  return { source: 3, format: 2, flags: 1, token, recvSec: 3_000_000_000, recvNsec: 999_999_999 }
}

function payloadOf(token: number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (token * 31 + i) & 0xff)
}

function write(ring: FrameRingProducer, token: number, size: number): boolean {
  return ring.tryWrite(metaOf(token), payloadOf(token, size), 0, size)
}

/** The token of the polled frame; -1 when its bytes are not what was written. */
function tokenOf(ring: FrameRingConsumer): number {
  const { token } = ring.meta
  const wanted = payloadOf(token, ring.end - ring.start)
  return Buffer.compare(wanted, ring.bytes.subarray(ring.start, ring.end)) === 0 ? token : -1
}

t.test('the header has no overlap and no hole, and lies on 8 bytes', async (t) => {
  const offsets = Object.values(FRAME_OFFSET)
  t.same(
    offsets,
    [...offsets].sort((a, b) => a - b),
  )
  t.equal(FRAME_HEADER_BYTES, 32)
  t.equal(FRAME_OFFSET.tsRecv % 8, 0)
  t.equal(FRAME_DATA_OFFSET % 128, 0)
  const words = Object.values(FRAME_WORD)
  t.equal(new Set(words.map((word) => Math.floor((word * 4) / 128))).size, words.length)
  t.equal(frameSize(0), 32)
  t.equal(frameSize(1), 40)
  t.equal(frameSize(8), 40)
  t.throws(() => frameRingBytes(1000), /power of two/)
  t.throws(() => frameRingBytes(2 ** 31), /at most/)
})

t.test('a frame comes out as it went in, from two parts, with its header', async (t) => {
  const memory = ringAt(0)
  const producer = new FrameRingProducer(memory)
  const consumer = new FrameRingConsumer(memory)
  t.equal(consumer.poll(), false)
  const a = payloadOf(1, 20)
  const b = payloadOf(2, 20)
  const meta = { source: 65_535, format: 255, flags: 255, token: 2 ** 32 - 1 }
  t.ok(producer.tryWrite({ ...meta, recvSec: 2 ** 32 - 1, recvNsec: 7 }, a, 5, 15, b, 1, 4))
  t.ok(consumer.poll())
  t.ok(consumer.poll(), 'looking again changes nothing')
  t.same(consumer.meta, { ...meta, recvSec: 2 ** 32 - 1, recvNsec: 7 })
  const bytes = Buffer.from(consumer.bytes.slice(consumer.start, consumer.end))
  t.same(bytes, Buffer.concat([a.subarray(5, 15), b.subarray(1, 4)]))
  consumer.release()
  t.equal(consumer.poll(), false)
  t.throws(() => consumer.release(), /follows a successful poll/)
  t.throws(() => consumer.keep(), /follows a successful poll/)
})

t.test('a full ring refuses, changes nothing, and takes more after a release', async (t) => {
  const memory = ringAt(0)
  const producer = new FrameRingProducer(memory)
  const consumer = new FrameRingConsumer(memory)
  let written = 0
  while (write(producer, written, 32)) written++
  t.equal(written, CAPACITY / frameSize(32))
  t.equal(producer.fillBytes, CAPACITY)
  t.equal(write(producer, 99, 32), false)
  consumer.poll()
  t.equal(tokenOf(consumer), 0)
  t.equal(write(producer, 99, 32), false, 'a polled frame still holds its room')
  consumer.release()
  t.equal(write(producer, written, 32), true)
  for (let token = 1; token <= written; token++) {
    t.ok(consumer.poll())
    t.equal(tokenOf(consumer), token)
    consumer.release()
  }
  t.equal(consumer.poll(), false)
  t.equal(consumer.fillBytes, 0)
})

t.test('a frame is at most half of the ring', async (t) => {
  const producer = new FrameRingProducer(ringAt(0))
  t.ok(write(producer, 1, CAPACITY / 2 - FRAME_HEADER_BYTES))
  t.throws(() => write(producer, 1, CAPACITY / 2 - FRAME_HEADER_BYTES + 1), /half of its ring/)
})

t.test(
  'positions wrap at 2^31 and 2^32; frames that do not fit before the end are padded',
  async (t) => {
    for (const start of [0, 2 ** 31 - 512, 2 ** 32 - 512, 2 ** 31 - 8, 2 ** 32 - 8, 1016]) {
      const memory = ringAt(start)
      const producer = new FrameRingProducer(memory)
      const consumer = new FrameRingConsumer(memory)
      let written = 0
      let read = 0
      while (read < 500) {
        while (write(producer, written, (written * 13) % 300)) written++
        if (producer.fillBytes > CAPACITY) t.fail(`${producer.fillBytes} bytes in the ring`)
        const until = Math.min(written, read + 1 + (read % 3))
        for (; read < until; read++) {
          if (!consumer.poll() || tokenOf(consumer) !== read) t.fail(`frame ${read} from ${start}`)
          consumer.release()
        }
      }
      t.ok(written > 500, `from ${start}`)
    }
  },
)

t.test('a producer and a consumer that start anew go on where the last ones stopped', async (t) => {
  const memory = ringAt(2 ** 31 - 100 * 8)
  let written = 0
  let read = 0
  for (let round = 0; round < 30; round++) {
    const producer = new FrameRingProducer(memory)
    while (write(producer, written, 50)) written++
    const consumer = new FrameRingConsumer(memory)
    for (let i = 0; i < 4; i++) {
      t.ok(consumer.poll())
      if (tokenOf(consumer) !== read++) t.fail(`frame ${read}`)
      consumer.release()
    }
    consumer.poll()
    consumer.keep()
  }
  t.equal(read, 120, 'what was kept but not released came again')
})

t.test('kept frames stay valid, hold their room, and are released together', async (t) => {
  const memory = ringAt(2 ** 32 - 256)
  const producer = new FrameRingProducer(memory)
  const consumer = new FrameRingConsumer(memory)
  let written = 0
  while (write(producer, written, 56)) written++
  const starts: number[] = []
  for (let token = 0; token < written; token++) {
    t.ok(consumer.poll())
    starts.push(consumer.start)
    consumer.keep()
  }
  t.equal(consumer.poll(), false)
  t.equal(write(producer, 0, 56), false, 'nothing is released yet')
  for (const [token, start] of starts.entries()) {
    const bytes = Buffer.from(consumer.bytes.slice(start, start + 56))
    t.same(bytes, Buffer.from(payloadOf(token, 56)))
  }
  consumer.releaseKept()
  t.equal(consumer.fillBytes, 0)
  t.ok(write(producer, 7, 10))
  t.ok(consumer.poll())
  t.equal(tokenOf(consumer), 7)
})

t.test('how far frames lie behind the polled one, as far as has been looked', async (t) => {
  const memory = ringAt(CAPACITY - 3 * frameSize(8))
  const producer = new FrameRingProducer(memory)
  const consumer = new FrameRingConsumer(memory)
  write(producer, 0, 8)
  write(producer, 1, 8)
  t.ok(consumer.poll())
  t.equal(consumer.behindEnd, CAPACITY - frameSize(8), 'one more')
  write(producer, 2, 8)
  write(producer, 3, 8)
  t.equal(consumer.behindEnd, CAPACITY - frameSize(8), 'what came since is not known yet')
  const next = () => {
    consumer.keep()
    t.ok(consumer.poll())
    return consumer.behindEnd - consumer.start + FRAME_HEADER_BYTES
  }
  t.equal(next(), frameSize(8), 'the last that was known')
  t.equal(next(), frameSize(8), 'not beyond the turn of the ring')
  write(producer, 4, 5)
  t.equal(next(), frameSize(8), 'looked at before the last one came')
  t.equal(next(), frameSize(8), 'padding is a part of a frame')
})

t.test('attempts are counted by frame, and survive the thread', async (t) => {
  for (const start of [0, 2 ** 32 - 96]) {
    const memory = ringAt(start)
    const producer = new FrameRingProducer(memory)
    for (let token = 0; token < 4; token++) write(producer, token, 10)
    const first = new FrameRingConsumer(memory)
    t.equal(first.recovering, false)
    first.poll()
    t.equal(first.beginAttempt(), 1)
    first.release()
    first.poll()
    t.equal(first.beginAttempt(), 1)
    const second = new FrameRingConsumer(memory)
    t.ok(second.recovering)
    second.poll()
    t.equal(second.meta.token, 1)
    t.equal(second.beginAttempt(), 2)
    const third = new FrameRingConsumer(memory)
    third.poll()
    t.equal(third.beginAttempt(), 3)
    t.ok(third.recovering)
    third.release()
    t.notOk(third.recovering, 'the frame is behind us')
    third.poll()
    t.equal(third.beginAttempt(), 1)
  }
})

t.test(
  'the frame in whose work a group ended keeps its count while those before it are redone',
  async (t) => {
    const memory = ringAt(0)
    const producer = new FrameRingProducer(memory)
    for (let token = 0; token < 4; token++) write(producer, token, 10)
    const first = new FrameRingConsumer(memory)
    for (let token = 0; token < 3; token++) {
      first.poll()
      first.beginAttempt()
      if (token < 2) first.keep()
    }
    const second = new FrameRingConsumer(memory)
    const counts: number[] = []
    while (second.poll()) {
      counts.push(second.beginAttempt())
      t.equal(second.recovering, second.meta.token <= 2)
      second.release()
    }
    t.same(counts, [1, 1, 2, 1])
  },
)

t.test('an ordered restart leaves no suspect', async (t) => {
  const memory = ringAt(0)
  const producer = new FrameRingProducer(memory)
  write(producer, 0, 10)
  const first = new FrameRingConsumer(memory)
  first.poll()
  first.beginAttempt()
  first.release()
  write(producer, 1, 10)
  const second = new FrameRingConsumer(memory)
  t.notOk(second.recovering)
  second.poll()
  t.equal(second.beginAttempt(), 1)
})

t.test(
  'frames that a predecessor had done with are passed over, and nothing behind them',
  async (t) => {
    const memory = ringAt(-64)
    const producer = new FrameRingProducer(memory)
    for (let token = 0; token < 3; token++) write(producer, token, 10)
    const first = new FrameRingConsumer(memory)
    for (let token = 0; token < 3; token++) {
      first.poll()
      first.keep()
    }
    const second = new FrameRingConsumer(memory)
    second.passOver(first.keptPosition)
    t.notOk(second.poll(), 'all that was written is passed over')
    t.equal(second.fillBytes, 0)
    write(producer, 3, 10)
    t.ok(second.poll())
    t.equal(tokenOf(second), 3)
  },
)
