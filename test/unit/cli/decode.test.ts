import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zstdCompressSync } from 'node:zlib'
import t from 'tap'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const NODE_OPTIONS = ['--disable-warning=ExperimentalWarning', MAIN, 'decode']

const directory = mkdtempSync(join(tmpdir(), 'tickd-decode-'))
t.teardown(() => rmSync(directory, { recursive: true }))

function decode(...args: string[]) {
  return spawnSync(process.execPath, [...NODE_OPTIONS, ...args], { encoding: 'utf8' })
}

function write(name: string, content: string | Uint8Array): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

const trade = (t: number, m = true) =>
  `{"e":"trade","E":1723161255000,"s":"BTCUSD","t":${t},"p":"61800.30","q":"0.5",` +
  `"T":1723161255208,"m":${m}}`
const NS = '1723161255300000000'

t.test('records are printed one JSON object a line, file after file', async (t) => {
  const first = write('a.txt', `${NS} ${trade(1)}\n`)
  const second = write('b.zst', zstdCompressSync(`${NS} ${trade(2, false)}\n`))
  const args = [first, second, '--venue', 'binance-us', '--format', 'ns-line']
  const { stdout, status, stderr } = decode(...args)
  t.equal(status, 0, stderr)
  const record = (id: number, side: string) =>
    '{"type":"trade","venue":"binance-us","symbol":"BTC-USD",' +
    '"ts_event":"2024-08-08T23:54:15.208000000Z","ts_recv":"2024-08-08T23:54:15.300000000Z",' +
    `"id":"${id}","side":"${side}","price":"61800.3","size":"0.5","flags":["last"]}\n`
  t.equal(stdout, record(1, 'sell') + record(2, 'buy'))
  t.equal(stderr, '', 'no progress where stderr is no terminal')
})

t.test('the summary balances: frames = with events + ignored + rejected', async (t) => {
  const kline = '{"e":"kline","s":"BTCUSD","k":{}}'
  const depth = (U: number, u: number) =>
    `{"e":"depthUpdate","E":1,"s":"BTCUSD","U":${U},"u":${u},"b":[["1","1"],["2","1"]],"a":[]}`
  const frames = [trade(1), kline, '{"result":null,"id":1}', '{', '', depth(1, 2), depth(7, 8)]
  const path = write('mixed.txt', `${frames.join('\n')}\n${'x'.repeat(2 ** 20 + 1)}\n`)
  const args = [path, '--venue', 'binance-us', '--format', 'raw', '--summary', '--json']
  const { stdout, status } = decode(...args)
  t.equal(status, 0)
  t.equal(
    stdout,
    `${JSON.stringify({
      frames: 7,
      events: { trade: 1, quote: 0, book: 2, price: 0, status: 1, bar: 1 },
      records: { trade: 1, quote: 0, book: 4, price: 0, status: 1 },
      ignored: { control: 1, bar: 1 },
      rejected: { bad_json: 1, oversize: 1 },
      gaps: 1,
    })}\n`,
  )
})

t.test('each file is a feed of its own: the books of one do not go on in the next', async (t) => {
  const depth = '{"e":"depthUpdate","E":1,"s":"BTCUSD","U":5,"u":6,"b":[["1","1"]],"a":[]}'
  const path = write('depth.txt', depth)
  const args = [path, path, '--venue', 'binance-us', '--format', 'raw', '--summary']
  const { stdout } = decode(...args)
  t.match(JSON.parse(stdout), { frames: 2, events: { book: 2 }, gaps: 0 })
})

t.test('normalised records are decoded too', async (t) => {
  const line =
    '{"type":"quote","venue":"v","symbol":"s","ts_event":"2024-01-01T00:00:00Z","bid_price":"1"}'
  const path = write('quotes.ndjson', line)
  const { stdout } = decode(path, '--venue', 'normalised', '--format', 'raw')
  t.match(JSON.parse(stdout), { type: 'quote', venue: 'v', bid_price: '1', ask_price: null })
})

t.test('wrong usage is exit code 2, with the list of what there is', async (t) => {
  const path = write('x.txt', '')
  const cases: [args: string[], message: RegExp][] = [
    [[path, '--venue', 'nope', '--format', 'raw'], /known venues: binance-us, binance,/],
    [[path, '--venue', 'binance', '--format', 'nope'], /known formats: tickd, cryptofeed,/],
    [[path, '--format', 'raw'], /--venue/],
    [['--venue', 'binance', '--format', 'raw'], /file/],
  ]
  for (const [args, message] of cases) {
    const { status, stderr, stdout } = decode(...args)
    t.equal(status, 2, args.join(' '))
    t.match(stderr, message)
    t.equal(stdout, '')
  }
})

t.test('a file that cannot be read is exit code 1, after what could be', async (t) => {
  const missing = decode(join(directory, 'none'), '--venue', 'binance', '--format', 'raw')
  t.equal(missing.status, 1)
  t.match(missing.stderr, /tickd: .*none cannot be read .*ENOENT.* \[IO\]\n/)
  const path = write('bad.txt', `${NS} ${trade(1)}\nbad\n`)
  const bad = decode(path, '--venue', 'binance', '--format', 'ns-line')
  t.equal(bad.status, 1)
  t.match(bad.stderr, /bad\.txt, line 2: .* \[CAPTURE_INVALID\]\n/)
  t.match(bad.stdout, /"id":"1"/, 'the first line was printed')
})

t.test('a reader that goes away ends the command quietly', async (t) => {
  const path = write('long.txt', `${trade(1)}\n`.repeat(200_000))
  const args = [...NODE_OPTIONS, path, '--venue', 'binance', '--format', 'raw']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [status] = await once(child, 'exit')
  t.equal(status, 0)
  t.equal(stderr, '')
})
