// The quick ways of the decoders against the full one: the same records, counts and reasons for
// any frame. White space before a message makes the quick way give up, and changes nothing else.
// So does what lies around the frame: garbage, or the ends of memory.

import t from 'tap'
import { jsKernels } from '../../src/decode/kernels.ts'
import type { FrameFormatName } from '../../src/ring/frame-format.ts'
import { DecodeRig } from '../support/decode-rig.ts'
import { HostileFrames } from '../support/hostile-frames.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const FRAMES = 20_000
const NEWLINE = 0x0a
t.comment(`TICKD_SEED=${seed}`)

/** The frame with a blank before each of its messages. */
function slow(format: FrameFormatName, frame: Uint8Array): Uint8Array {
  const blank = Buffer.from(' ')
  if (format !== 'ndjson') return Buffer.concat([blank, frame])
  const parts: Uint8Array[] = [blank]
  for (let start = 0, at = 0; at <= frame.length; at++) {
    if (at < frame.length && frame[at] !== NEWLINE) continue
    parts.push(frame.subarray(start, at + 1))
    if (at + 1 < frame.length) parts.push(blank)
    start = at + 1
  }
  return Buffer.concat(parts)
}

for (const format of ['binance', 'binanceUsdm', 'ndjson'] as const) {
  t.test(`${format}: quick and full agree on every frame`, async (t) => {
    const options = { instrumentsMax: 64, batchCapacity: 8 }
    const quick = new DecodeRig(format, options)
    const full = new DecodeRig(format, options)
    const alone = new DecodeRig(format, { ...options, kernels: jsKernels, marginBytes: 0 })
    const amid = new DecodeRig(format, { ...options, kernels: jsKernels })
    const frames = new HostileFrames(format, seed)
    let wrong = ''
    let recordCount = 0
    for (let i = 0; i < FRAMES && wrong === ''; i++) {
      const frame = frames.next()
      quick.sendRaw(frame)
      full.sendRaw(slow(format, frame))
      alone.sendRaw(frame)
      amid.sendRaw(frame)
      const size = quick.batch.count * 64
      recordCount += quick.batch.count
      const records = quick.batch.bytes.subarray(0, size)
      const counts = JSON.stringify(quick.counts)
      const isSame = [full, alone, amid].every(
        ({ batch, counts: others }) =>
          batch.count === quick.batch.count &&
          Buffer.compare(batch.bytes.subarray(0, size), records) === 0 &&
          JSON.stringify(others) === counts,
      )
      if (!isSame) {
        wrong = `frame ${i}: ${JSON.stringify(Buffer.from(frame).toString('latin1'))}`
      }
      for (const rig of [quick, full, alone, amid]) rig.rejects.length = 0
    }
    t.equal(wrong, '')
    t.ok(recordCount > FRAMES / 20, 'enough of them had records')
    t.same(quick.counts, full.counts)
  })
}
