import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { FRAME_BYTES_MAX } from '../../../../src/limits.ts'
import type { CaptureCounts, CaptureOptions } from '../../../../src/source/capture/capture.ts'
import { openCapture } from '../../../../src/source/capture/open.ts'

const directory = mkdtempSync(join(tmpdir(), 'tickd-capture-'))
t.teardown(() => rmSync(directory, { recursive: true }))

interface Played {
  frames: { text: string; time: string; conn: string; attached: boolean; timed: boolean }[]
  counts: CaptureCounts
}

let fileCount = 0

/** Writes a capture, reads it to its end, and says what was in it. */
async function play(
  content: string | Uint8Array,
  format: CaptureOptions['format'],
  { extension = '', http = 'binance-depth' as CaptureOptions['http'] } = {},
): Promise<Played> {
  const path = join(directory, `${fileCount++}.jsonl${extension}`)
  writeFileSync(path, content)
  const reader = await openCapture(path, { format, http })
  const frames: Played['frames'] = []
  try {
    do {
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        const { bytes, start, end, tsSec, tsNsec, conn, attached, timed } = frame
        const text = Buffer.from(bytes.slice(start, end)).toString()
        const time = `${tsSec}.${String(tsNsec).padStart(9, '0')}`
        frames.push({ text, time, conn, attached, timed })
      }
    } while (await reader.fill())
  } finally {
    await reader.close()
  }
  return { frames, counts: { ...reader.counts } }
}

const texts = (played: Played) => played.frames.map((frame) => frame.text)
const lines = (...objects: object[]) => objects.map((o) => `${JSON.stringify(o)}\n`).join('')

t.test('tickd captures: what was received is a frame, at its exact time', async (t) => {
  const ns = '1723161255030314667'
  const recv = `{"t":"recv","conn":1,"ts_ns":${ns},"data":"{\\"ts_ns\\":5,\\"e\\":\\"é\\"}"}\n`
  const content =
    `{"t":"open","conn":1,"ts_ns":${ns},"url":"wss://x"}\n` +
    `{"t":"send","conn":1,"ts_ns":${ns},"data":"hello"}\n` +
    recv +
    `{"t":"recv","conn":2,"ts_ns":"${ns}","b64":"AAH/"}\n` +
    `{"t":"close","conn":1,"ts_ns":${ns}}\n`
  const played = await play(content, 'tickd')
  t.match(played.frames, [
    { text: '{"ts_ns":5,"e":"é"}', time: '1723161255.030314667', conn: '1', timed: true },
    { text: Buffer.from('AAH/', 'base64').toString(), time: '1723161255.030314667', conn: '2' },
  ])
  t.same(played.counts, {
    lines: 5,
    frames: 2,
    attached: 0,
    unused: 0,
    markers: 3,
    oversize: 0,
  })
})

t.test('a depth answer becomes a snapshot frame, in its place', async (t) => {
  const url = 'https://api.binance.us/api/v3/depth?symbol=BTCUSDT&limit=5'
  const content = lines(
    { t: 'recv', conn: 1, ts_ns: '1000000001', data: 'first' },
    { t: 'http', conn: 2, ts_ns: '1000000002', url, data: '{"lastUpdateId":1}' },
    { t: 'http', conn: 2, ts_ns: '1000000003', url: 'https://x/exchangeInfo', data: '{}' },
  )
  const played = await play(content, 'tickd')
  t.same(texts(played), ['first', '{"stream":"btcusdt@depthSnapshot","data":{"lastUpdateId":1}}'])
  t.equal(played.counts.markers, 1, 'an answer that is no snapshot')
  const verbatim = await play(content, 'tickd', { http: 'verbatim' })
  t.same(texts(verbatim), ['first', '{"lastUpdateId":1}', '{}'])
})

t.test('cryptofeed captures: a snapshot waits for the update that needs it', async (t) => {
  const url = (symbol: string) => `https://api.binance.com/api/v3/depth?symbol=${symbol}`
  const depth = (symbol: string) => `{"stream":"${symbol}@depth@100ms","data":{}}`
  const content = lines(
    { t: 'header', format: 2, exchange: 'BINANCE' },
    { t: 'http', conn: 'h', ts: 5.5, url: url('AUSDT'), data: '{"lastUpdateId":1}' },
    { t: 'http', conn: 'h', ts: 9, url: url('AUSDT'), data: '{"lastUpdateId":9}' },
    { t: 'http', conn: 'h', ts: 6, url: url('BUSDT'), data: '{"lastUpdateId":2}' },
    { t: 'http', conn: 'h', ts: 6, url: url('CUSDT'), data: '{"lastUpdateId":3}' },
    { t: 'connect', conn: 'w', ts: 1, addr: 'wss://x' },
    { t: 'recv', conn: 'w', ts: 1633998512.0633569, data: '{"stream":"ausdt@bookTicker"}' },
    { t: 'recv', conn: 'w', ts: 2, data: depth('ausdt') },
    { t: 'recv', conn: 'w', ts: 3, data: depth('ausdt') },
    { t: 'recv', conn: 'w', ts: 9.25, data: depth('ausdt') },
    { t: 'recv', conn: 'w', ts: 4, data: '{"e":"depthUpdate","E":1,"s":"BUSDT","b":[]}' },
  )
  const played = await play(content, 'cryptofeed')
  const snapshot = (symbol: string, id: number) =>
    `{"stream":"${symbol}@depthSnapshot","data":{"lastUpdateId":${id}}}`
  t.same(texts(played), [
    '{"stream":"ausdt@bookTicker"}',
    snapshot('ausdt', 1),
    depth('ausdt'),
    depth('ausdt'),
    snapshot('ausdt', 9),
    depth('ausdt'),
    snapshot('busdt', 2),
    '{"e":"depthUpdate","E":1,"s":"BUSDT","b":[]}',
  ])
  t.match(played.frames[0], { time: '1633998512.063356900', conn: 'w', attached: false })
  t.match(played.frames[1], { time: '5.500000000', conn: 'h', attached: true })
  t.match(played.frames[2], { time: '2.000000000', conn: 'w', attached: false })
  t.same(played.counts, {
    lines: 11,
    frames: 5,
    attached: 3,
    unused: 1,
    markers: 2,
    oversize: 0,
  })
})

t.test('ns-line and raw captures: a line is a frame, blank lines are passed over', async (t) => {
  const ns = await play('1723161255030314667 {"a":1}\r\n\n7 x y\n1000000000 last', 'ns-line')
  t.match(ns.frames, [
    { text: '{"a":1}', time: '1723161255.030314667', timed: true },
    { text: 'x y', time: '0.000000007' },
    { text: 'last', time: '1.000000000' },
  ])
  t.match(ns.counts, { lines: 4, frames: 3, markers: 1 })
  const raw = await play('{"a":1}\n\nb', 'raw')
  t.match(raw.frames, [
    { text: '{"a":1}', timed: false },
    { text: 'b', timed: false },
  ])
})

t.test('packed files are unpacked, of however many frames and members', async (t) => {
  const [one, two] = ['1 one\n2 tw', 'o\n3 three']
  const expected = ['one', 'two', 'three']
  const skippable = Buffer.from('502a4d18030000001122330102', 'hex').subarray(0, 11)
  const files: [content: Buffer, extension: string][] = [
    [Buffer.concat([gzipSync(one), gzipSync(two)]), '.gz'],
    [Buffer.concat([zstdCompressSync(one), zstdCompressSync(two)]), '.zst'],
    [Buffer.concat([skippable, zstdCompressSync(one), skippable, zstdCompressSync(two)]), '.zst'],
    [Buffer.concat([zstdCompressSync(one + two), zstdCompressSync('')]), '.zst'],
  ]
  for (const [content, extension] of files) {
    t.same(texts(await play(content, 'ns-line', { extension })), expected, extension)
  }
  const long = `1 ${'abc'.repeat(200_000)}\n`.repeat(20)
  const big = await play(zstdCompressSync(long), 'ns-line', { extension: '.zst' })
  t.equal(big.counts.frames, 20, 'larger than any piece')
})

t.test(
  'a cut or damaged archive is an error with file and line, after what is whole',
  async (t) => {
    const text = Array.from({ length: 20_000 }, (_, i) => `1 frame ${i * 7919}\n`).join('')
    const invalid = { code: 'CAPTURE_INVALID', message: /\.(zst|gz), line \d+: .*damaged or cut/ }
    for (const [packed, extension] of [
      [zstdCompressSync(text), '.zst'],
      [gzipSync(text), '.gz'],
    ] as const) {
      for (const size of [1, 4, packed.length >> 1, packed.length - 1]) {
        const cut = packed.subarray(0, size)
        await t.rejects(play(cut, 'ns-line', { extension }), invalid, `${extension} ${size} bytes`)
      }
      const damaged = Buffer.from(packed)
      damaged.fill(0x55, packed.length >> 1, (packed.length >> 1) + 64)
      // Deflate notices damage at the end of the member only: a line may be wrong before.
      const code = { code: 'CAPTURE_INVALID', message: /, line \d+: / }
      await t.rejects(play(damaged, 'ns-line', { extension }), code, `${extension} damaged`)
      const followed = Buffer.concat([packed, Buffer.from('garbage')])
      await t.rejects(play(followed, 'ns-line', { extension }), invalid, `${extension} garbage`)
    }
    const cut = zstdCompressSync(text)
    const error = await play(cut.subarray(0, -1), 'ns-line', { extension: '.zst' }).catch((e) => e)
    t.ok(Number(/line (\d+)/.exec(error.message)?.[1]) > 1, 'whole blocks before the cut were read')
  },
)

t.test('a line that is not of the format is an error with file and line', async (t) => {
  const cases: [content: string, format: CaptureOptions['format'], message: RegExp][] = [
    ['1 ok\nno number\n', 'ns-line', /line 2: it does not begin with nanoseconds/],
    ['12345678901234567890 x\n', 'ns-line', /line 1/],
    ['17\n', 'ns-line', /line 1/],
    ['{"t":"open"}\n{"t":', 'tickd', /line 2: it is not JSON/],
    ['{"t":"recv","data":"x"}', 'tickd', /line 1: it has no time "ts_ns"/],
    ['{"t":"recv","ts_ns":1}', 'tickd', /neither "data" nor "b64"/],
    ['{"t":"recv","ts":1,"data":"x"}', 'tickd', /"ts_ns"/],
    ['{"t":"recv","ts":"1","data":"x"}', 'cryptofeed', /has no time "ts"/],
    ['{"t":"what","ts":1}', 'cryptofeed', /the unknown type "what"/],
    ['null', 'cryptofeed', /has no type/],
    ['[]', 'tickd', /has no type/],
  ]
  for (const [content, format, message] of cases) {
    await t.rejects(play(content, format), { code: 'CAPTURE_INVALID', message }, content)
  }
})

t.test('a frame or line that is too long is counted and left out', async (t) => {
  const long = 'x'.repeat(FRAME_BYTES_MAX + 1)
  const fits = 'y'.repeat(FRAME_BYTES_MAX)
  const played = await play(`1 a\n2 ${long}\n3 ${long.repeat(9)}\n4 ${fits}\n5 b\n`, 'ns-line')
  t.same(
    texts(played).map((text) => text.length),
    [1, FRAME_BYTES_MAX, 1],
  )
  t.match(played.counts, { lines: 5, frames: 3, oversize: 2 })
  const json = await play(lines({ t: 'recv', conn: 1, ts_ns: '1', data: long }), 'tickd')
  t.match(json.counts, { frames: 0, oversize: 1 })
})

t.test('a file that is not there, or no file, is an error that says so', async (t) => {
  const options = { format: 'raw', http: 'verbatim' } as const
  await t.rejects(openCapture(join(directory, 'none'), options), { code: 'IO', message: /ENOENT/ })
  await t.rejects(openCapture(directory, options), { code: 'IO', message: /directory/ })
})

t.test('an empty capture has no frames', async (t) => {
  for (const format of ['tickd', 'cryptofeed', 'ns-line', 'raw'] as const) {
    t.match((await play('', format)).counts, { lines: 0, frames: 0 })
  }
})

t.test('a reader may be closed at any time', async (t) => {
  const path = join(directory, 'closed.zst')
  writeFileSync(path, zstdCompressSync('1 x\n'.repeat(100_000)))
  for (const fills of [0, 1, 2]) {
    const reader = await openCapture(path, { format: 'ns-line', http: 'verbatim' })
    for (let i = 0; i < fills; i++) await reader.fill()
    await reader.close()
    t.pass(`after ${fills} fills`)
  }
})
