import fc from 'fast-check'
import t from 'tap'
import { FRAME_BYTES_MAX } from '../../../src/limits.ts'
import { type Cutter, LineCutter, PackedCutter } from '../../../src/source/tcp-framing.ts'
import { TICK_BYTES } from '../../../src/tick/layout.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

/** Feeds `pieces` to the cutter; the ring refuses every offer for which `refuse` says so. */
function run(cutter: Cutter, pieces: readonly Buffer[], refuse: () => boolean): Buffer[] {
  const frames: Buffer[] = []
  const take = (a: Uint8Array, aEnd: number, b: Uint8Array, bStart: number, bEnd: number) => {
    if (refuse()) return false
    frames.push(Buffer.concat([a.subarray(0, aEnd), b.subarray(bStart, bEnd)]))
    return true
  }
  for (const piece of pieces) {
    let at = 0
    while (at < piece.length && cutter.refusal === '')
      at = cutter.push(piece, at, piece.length, take)
  }
  while (!cutter.flush(take)) {}
  return frames
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => bytes.subarray(at[i] as number, end))
}

const never = () => false

t.test(
  'lines: whatever the pieces and refusals, all bytes come, in frames of whole lines',
  async () => {
    const line = fc.stringMatching(/^[a-z{}:", ]{0,90}$/)
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 60 }),
        fc.boolean(),
        fc.array(fc.nat(10_000), { maxLength: 12 }),
        fc.integer({ min: 16, max: 400 }),
        fc.array(fc.boolean(), { maxLength: 40 }),
        (lines, terminated, cuts, chunkBytes, refusals) => {
          const bytes = Buffer.from(lines.join('\n') + (terminated ? '\n' : ''))
          let turn = 0
          const refuse = () => refusals[turn++] ?? false
          const frames = run(new LineCutter(chunkBytes), cutAt(bytes, cuts), refuse)
          if (!Buffer.concat(frames).equals(bytes)) throw new Error('bytes differ')
          for (const [i, frame] of frames.entries()) {
            const isLast = i === frames.length - 1
            if (frame.at(-1) !== 0x0a && !isLast) throw new Error(`frame ${i} ends within a line`)
            const isOneLine = frame.indexOf(0x0a) === frame.lastIndexOf(0x0a)
            if (frame.length > chunkBytes && !isOneLine) throw new Error(`frame ${i} is too long`)
          }
        },
      ),
      { seed, numRuns: 500 },
    )
  },
)

t.test('packed: whatever the pieces and refusals, each message is one frame', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 }),
      fc.array(fc.nat(60_000), { maxLength: 12 }),
      fc.array(fc.boolean(), { maxLength: 40 }),
      (counts, cuts, refusals) => {
        const bodies = counts.map((count, i) => Buffer.alloc(count * TICK_BYTES, i + 1))
        const bytes = Buffer.concat(bodies.flatMap((body) => [lengthOf(body.length), body]))
        let turn = 0
        const refuse = () => refusals[turn++] ?? false
        const frames = run(new PackedCutter(), cutAt(bytes, cuts), refuse)
        if (frames.length !== bodies.length) throw new Error(`${frames.length} frames`)
        if (!frames.every((frame, i) => frame.equals(bodies[i] as Buffer))) throw new Error('bytes')
      },
    ),
    { seed, numRuns: 500 },
  )
})

t.test('a line of the largest frame passes whole; one byte more refuses the stream', async (t) => {
  const fits = Buffer.concat([Buffer.alloc(FRAME_BYTES_MAX - 1, 0x61), Buffer.from('\n')])
  const frames = run(new LineCutter(65_536), chunks(fits, 65_536), never)
  t.equal(frames.length, 1)
  t.equal(frames[0]?.length, FRAME_BYTES_MAX)

  const cutter = new LineCutter(65_536)
  const tooLong = Buffer.alloc(FRAME_BYTES_MAX + 1, 0x61)
  t.same(run(cutter, chunks(tooLong, 65_536), never).length, 1, 'only what flush gives')
  t.match(cutter.refusal, /longer than 1048576 bytes/)
})

t.test('a line that becomes too long in the piece that ends it is refused as well', async (t) => {
  const cutter = new LineCutter(4096)
  const take = () => true
  const start = Buffer.alloc(FRAME_BYTES_MAX - 10, 0x61)
  t.equal(cutter.push(start, 0, start.length, take), start.length)
  const end = Buffer.from(`${'b'.repeat(20)}\nnext\n`)
  t.equal(cutter.push(end, 0, end.length, take), 0)
  t.match(cutter.refusal, /a line is longer/)
})

t.test('a long line goes as a chunk of its own, its neighbours in theirs', async (t) => {
  const text = `${'a'.repeat(10)}\n${'b'.repeat(500)}\n${'c'.repeat(10)}\n`
  const frames = run(new LineCutter(100), [Buffer.from(text)], never)
  t.same(
    frames.map((frame) => frame.length),
    [11, 501, 11],
  )
})

t.test('packed lengths that cannot be are refused, and no byte after them is read', async (t) => {
  for (const length of [0, 1, 63, 65, FRAME_BYTES_MAX + TICK_BYTES, 0xffffffff]) {
    const cutter = new PackedCutter()
    const data = Buffer.concat([lengthOf(length), Buffer.alloc(256)])
    const frames: number[] = []
    const at = cutter.push(data, 0, data.length, (_a, aEnd, _b, bStart, bEnd) => {
      frames.push(aEnd + bEnd - bStart)
      return true
    })
    t.equal(frames.length, 0, `length ${length}`)
    t.equal(at, 4)
    t.match(cutter.refusal, new RegExp(`a length of ${length} bytes`))
  }
})

t.test('a message cut off in the middle is no frame, and says how much it leaves', async (t) => {
  const cutter = new PackedCutter()
  const frames = run(cutter, [lengthOf(128), Buffer.alloc(100)], never)
  t.equal(frames.length, 0)
  t.equal(cutter.keptBytes, 104)
})

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}

function chunks(bytes: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  return parts
}
