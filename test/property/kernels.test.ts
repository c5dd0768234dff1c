// The native kernels against the JS ones, frame by frame: records to the bit, counts, reasons,
// origins, dead letters, gaps, instruments. JSON.parse is the judge of what is JSON. TICKD_SEED
// replays a run; TICKD_HOSTILE_FRAMES sets how many frames (100,000 in all unless set).

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { REJECT } from '../../src/decode/reason-index.ts'
import { venueNamed } from '../../src/decode/venues.ts'
import { FRAME_FORMAT, type FrameFormatName } from '../../src/ring/frame-format.ts'
import type { CaptureFormat } from '../../src/source/capture/capture.ts'
import { openCapture } from '../../src/source/capture/open.ts'
import { HostileFrames } from '../support/hostile-frames.ts'
import { KernelPair, nativeAbsent } from '../support/kernel-pair.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const frameCount = Number(process.env.TICKD_HOSTILE_FRAMES ?? 100_000)
const root = resolve(import.meta.dirname, '../..')
const captures = process.env.TICKD_CAPTURES ?? join(root, '..', 'shared', 'captures')
/** Of a capture: the first ones, each as it is and spoiled. */
const CAPTURED_FRAMES = 10_000

t.comment(`TICKD_SEED=${seed}`)

/** The seed's own pairs: small batches and tables are full at times, and large ones never. */
function pairs(format: FrameFormatName): KernelPair[] {
  const sizes = [
    { instrumentsMax: 64, batchCapacity: 8 },
    { instrumentsMax: 1024, batchCapacity: 4096 },
  ]
  return sizes.map((size) => {
    const pair = new KernelPair(format, size)
    pair.add('binance', 'BTC-USDT', 'BTCUSDT')
    return pair
  })
}

/** Does JSON.parse take the text, read as the decoders read it: UTF-8 with replacement? */
function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes).toString('utf8'))
    return true
  } catch {
    return false
  }
}

/** What differs, between the decoders or from what JSON.parse says of the message. */
function misjudged(pair: KernelPair, frame: Uint8Array): string {
  const { tally } = pair.native
  const before = tally.rejected[REJECT.bad_json] ?? 0
  const different = pair.send(frame)
  const isBad = (tally.rejected[REJECT.bad_json] ?? 0) > before
  if (different !== '' || isBad !== isJson(frame)) return different
  return `JSON.parse disagrees: ${JSON.stringify(Buffer.from(frame).toString('latin1'))}`
}

const formats = Object.keys(FRAME_FORMAT) as FrameFormatName[]
for (const format of formats) {
  const title = `${format}: native is JS, for good, spoiled and arbitrary bytes`
  t.test(title, { skip: nativeAbsent() }, async (t) => {
    const frames = new HostileFrames(format, seed)
    const [small, large] = pairs(format) as [KernelPair, KernelPair]
    let wrong = ''
    for (let i = 0; i < frameCount / formats.length && wrong === ''; i++) {
      const frame = i % 16 === 0 ? frames.noise() : frames.next()
      const pair = i % 2 === 0 ? small : large
      const isJudged = format !== 'packed' && (format !== 'ndjson' || !isLines(frame))
      wrong = isJudged ? misjudged(pair, frame) : pair.send(frame)
    }
    t.equal(wrong, '')
    t.ok(large.native.tally.decoded > 0, 'some frames are good ones')
    t.ok(large.native.tally.messages > large.native.tally.decoded, 'some are not')
  })
}

/** Several messages, or a blank one, which is ignored and no JSON. */
function isLines(frame: Uint8Array): boolean {
  return frame.includes(0x0a) || Buffer.from(frame).toString('latin1').trim() === ''
}

const CAPTURES: [path: string, venue: string, format: CaptureFormat, name: FrameFormatName][] = [
  ['cryptofeed/BINANCE.jsonl.zst', 'binance', 'cryptofeed', 'binance'],
  ['ns-line/usdm_btcusdt_20240808.gz', 'binance-usdm', 'ns-line', 'binanceUsdm'],
]
for (const [file, venueName, format, name] of CAPTURES) {
  const path = join(captures, file)
  const skip = nativeAbsent() || (!existsSync(path) && `no capture at ${path}`)
  t.test(`recorded frames of ${venueName}, as they are and spoiled`, { skip }, async (t) => {
    const venue = venueNamed(venueName)
    const reader = await openCapture(path, { format, http: venue.http })
    t.teardown(() => reader.close())
    const whole = new KernelPair(name, { venue: venueName })
    const broken = new KernelPair(name, { venue: venueName })
    const spoiler = new HostileFrames(name, seed)
    let count = 0
    let wrong = ''
    while (wrong === '' && count < CAPTURED_FRAMES) {
      const found = reader.next()
      if (found !== undefined) {
        const frame = found.bytes.slice(found.start, found.end)
        wrong = whole.send(frame) || broken.send(spoiler.spoiled(frame, 1 + (count % 3)))
        count++
      } else if (!(await reader.fill())) break
    }
    t.equal(wrong, '')
    t.ok(count > 0, `${count} frames`)
    t.equal(whole.native.tally.rejected.join(), whole.js.tally.rejected.join())
    t.ok(whole.native.tally.decoded > 0)
  })
}
