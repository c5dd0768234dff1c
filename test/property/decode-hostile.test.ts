// Hostile frames against every decoder: nothing throws, every message is accounted for, and
// JSON.parse is the judge of what is JSON. TICKD_SEED replays a run; TICKD_HOSTILE_FRAMES sets how
// many frames (100,000 in all unless set).

import t from 'tap'
import { IGNORE, REJECT } from '../../src/decode/reason-index.ts'
import { FRAME_FORMAT, type FrameFormatName } from '../../src/ring/frame-format.ts'
import { DecodeRig } from '../support/decode-rig.ts'
import { HostileFrames } from '../support/hostile-frames.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const frameCount = Number(process.env.TICKD_HOSTILE_FRAMES ?? 100_000)
const INSTRUMENTS_MAX = 64
/** Small, so that frames of more records than a batch holds come too. */
const BATCH_TICKS = 8

t.comment(`TICKD_SEED=${seed}`)

/** Is the text JSON, read as the decoders read it: UTF-8 with replacement? */
function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes).toString('utf8'))
    return true
  } catch {
    return false
  }
}

const formats = Object.keys(FRAME_FORMAT) as FrameFormatName[]
for (const format of formats) {
  t.test(`${format}: hostile frames are accounted for, and none throws`, async (t) => {
    const rig = new DecodeRig(format, {
      instrumentsMax: INSTRUMENTS_MAX,
      batchCapacity: BATCH_TICKS,
    })
    rig.instruments.add('binance', 'BTC-USDT', 'BTCUSDT')
    const frames = new HostileFrames(format, seed)
    const jsonSinglesOnly = format !== 'packed'
    const { tally, batch } = rig
    const rejectedBadJson = () => tally.rejected[REJECT.bad_json] ?? 0
    let wrong = ''
    for (let i = 0; i < frameCount / formats.length && wrong === ''; i++) {
      const frame = frames.next()
      const before = { messages: tally.messages, badJson: rejectedBadJson() }
      const records = tally.records
      rig.sendRaw(frame)
      const at = `frame ${i}: ${JSON.stringify(Buffer.from(frame).toString('latin1'))}`
      if (tally.messages === before.messages) wrong = `no message: ${at}`
      if (tally.records - records !== batch.count) wrong = `records not counted: ${at}`
      if (!isWellFormed(rig)) wrong = `a record with impossible bytes: ${at}`
      const isSingle = format !== 'ndjson' || !frame.includes(0x0a)
      if (jsonSinglesOnly && isSingle && !isBlank(format, frame)) {
        const saidBad = rejectedBadJson() > before.badJson
        if (saidBad === isJson(frame)) wrong = `JSON.parse disagrees: ${at}`
      }
      rig.rejects.length = 0
      rig.gaps.length = 0
    }
    t.equal(wrong, '', 'every frame')
    t.equal(tally.messages, tally.decoded + sum(tally.ignored) + sum(tally.rejected))
    t.ok(tally.decoded > 0, 'some frames are good ones')
    t.ok(sum(tally.rejected) > 0, 'some are not')
    t.ok(rig.instruments.count <= INSTRUMENTS_MAX)
    t.equal(rig.outcome(frames.trade()), 'decoded', 'and it still works')
  })
}

t.test('a hostile stream leaves no memory behind', async (t) => {
  const rig = new DecodeRig('binance', { instrumentsMax: INSTRUMENTS_MAX, batchCapacity: 64 })
  const frames = new HostileFrames('binance', seed)
  const round = () => {
    for (let i = 0; i < 5000; i++) rig.sendRaw(frames.next())
    rig.rejects.length = 0
    rig.gaps.length = 0
  }
  round()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 3; i++) round()
  const grownBytes = process.memoryUsage().arrayBuffers - before
  // Frames made by the test itself wait for collection; kept levels of all books are 8 MiB at most.
  t.ok(grownBytes < 64 * 2 ** 20, `${grownBytes} bytes more in array buffers`)
})

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0)
}

/** A blank line of a push source is ignored as empty; JSON.parse would refuse it. */
function isBlank(format: string, frame: Uint8Array): boolean {
  return format === 'ndjson' && Buffer.from(frame).toString('latin1').trim() === ''
}

function isWellFormed({ batch, instruments, tally }: DecodeRig): boolean {
  for (let i = 0; i < batch.count; i++) {
    if (batch.kind(i) < 1 || batch.kind(i) > 5 || batch.side(i) > 2) return false
    if (instruments.get(batch.instrument(i)) === undefined) return false
    if (batch.source(i) !== 3) return false
    const [start = 0, end = 0] = tally.origins.slice(2 * i, 2 * i + 2)
    if (start < 16 || end <= start) return false
  }
  return (tally.ignored[IGNORE.capture_marker] ?? 0) === 0
}
