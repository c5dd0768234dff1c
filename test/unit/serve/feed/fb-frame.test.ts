import t from 'tap'
import { Frame } from '../../../../src/serve/feed/fb-frame.ts'
import { TICK_WORDS } from '../../../../src/tick/layout.ts'
import { readFlatbuffer } from '../../../support/feed-client.ts'
import { ticks } from '../../../support/serve-rig.ts'

t.test('a frame is a Batch that the flatbuffers library reads, whatever its size', (t) => {
  const source = ticks(Array.from({ length: 300 }, (_, i) => ({ instrument: i + 1, value: i })))
  const epoch = 2 ** 40 + 3
  const firstSeq = 2 ** 52 + 1
  for (const count of [0, 1, 16, 17, 300]) {
    const frame = new Frame(300, 4_000_000_000, epoch)
    for (let i = 0; i < count; i++) frame.append(source.words, i * TICK_WORDS)
    const read = readFlatbuffer(frame.encode(firstSeq))
    t.same([read.stream, read.epoch, read.firstSeq, read.count], [4e9, epoch, firstSeq, count])
    t.same(read.batch?.bytes, source.bytes.subarray(0, count * 64))
  }
  t.end()
})

t.test('a frame that was sent is filled anew, and keeps its memory', (t) => {
  const source = ticks([
    { instrument: 1, value: 1 },
    { instrument: 2, value: 2 },
  ])
  const frame = new Frame(2, 1, 1)
  frame.append(source.words, 0)
  t.notOk(frame.isFull)
  frame.append(source.words, TICK_WORDS)
  t.ok(frame.isFull)
  t.throws(() => frame.append(source.words, 0), /a full frame is not appended to/)
  frame.encode(1)
  frame.reset()
  frame.append(source.words, TICK_WORDS)
  const read = readFlatbuffer(frame.encode(3))
  t.equal(read.firstSeq, 3)
  t.equal(read.count, 1)
  t.equal(read.batch?.instrument(0), 2)
  t.end()
})

t.test('ticks lie on 8 bytes, so that a client may read them in place', (t) => {
  const frame = new Frame(4, 1, 1)
  frame.append(ticks([{ instrument: 1, value: 1 }]).words, 0)
  const bytes = frame.encode(1)
  t.equal((bytes.length - 64) % 8, 0)
  t.end()
})
