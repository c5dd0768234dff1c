// Recorded market data through `tickd decode`, against counts that were made independently. Skipped
// where the recordings are absent: they are no part of the project.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Books as ClientBooks } from '../../client/index.ts'
import { Books } from '../../src/serve/book/books.ts'
import { DecodeRig } from '../support/decode-rig.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const captures = process.env.TICKD_CAPTURES ?? join(root, '..', 'shared', 'captures')
const SPOT = join(captures, 'cryptofeed', 'BINANCE.jsonl.zst')
const USDM = join(captures, 'ns-line', 'usdm_btcusdt_20240808.gz')
const OUTPUT_BYTES_MAX = 1 << 30

const directory = mkdtempSync(join(tmpdir(), 'tickd-decode-'))
t.teardown(() => rmSync(directory, { recursive: true }))

function decode(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const main = ['--disable-warning=ExperimentalWarning', join(root, 'src', 'main.ts'), 'decode']
  return spawnSync(process.execPath, [...main, ...args], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  })
}

function summary(...args: string[]) {
  const { stdout, stderr, status } = decode(...args, '--summary')
  t.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

function absent(path: string): string | false {
  return existsSync(path) ? false : `no capture at ${path} (set TICKD_CAPTURES)`
}

const total = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0)

t.test(
  'Binance spot: events are those that the recorder counts',
  { skip: absent(SPOT) },
  async (t) => {
    const counts = summary(SPOT, '--venue', 'binance', '--format', 'cryptofeed')
    t.equal(counts.frames, 265)
    t.same(counts.events, { trade: 2, quote: 84, book: 176, price: 0, status: 0, bar: 2 })
    t.same(counts.ignored, { bar: 2, stale_depth: 5 })
    t.same(counts.rejected, {})
    t.equal(counts.gaps, 0)
    // Four frames are depth updates that brought their snapshot with them: two events each.
    const withEvents = counts.events.trade + counts.events.quote + counts.events.book - 4
    t.equal(counts.frames, withEvents + total(counts.ignored) + total(counts.rejected))
  },
)

t.test('Binance USD-M: every line is an event', { skip: absent(USDM) }, async (t) => {
  const counts = summary(USDM, '--venue', 'binance-usdm', '--format', 'ns-line')
  t.equal(counts.frames, 93_954)
  // 6,551 depth updates and the one snapshot, which is an event of its own.
  t.same(counts.events, {
    trade: 21_313,
    quote: 66_089,
    book: 6552,
    price: 0,
    status: 0,
    bar: 0,
  })
  t.same(counts.ignored, {})
  t.same(counts.rejected, {})
  t.equal(counts.gaps, 0)
  t.equal(counts.records.trade, 21_313)
})

t.test(
  'records: values as the venue sent them, and a form that is read again',
  { skip: absent(USDM) },
  async (t) => {
    const { stdout, status } = decode(USDM, '--venue', 'binance-usdm', '--format', 'ns-line')
    t.equal(status, 0)
    const trade = stdout.slice(stdout.indexOf('{"type":"trade"')).split('\n', 1)[0] ?? ''
    t.equal(
      trade,
      '{"type":"trade","venue":"binance-usdm","symbol":"BTC-USDT-PERP",' +
        '"ts_event":"2024-08-08T23:54:16.322000000Z","ts_recv":"2024-08-08T23:54:15.088176367Z",' +
        '"id":"5266583935","side":"buy","price":"61800.3","size":"0.006","flags":["last"]}',
    )
    // What tickd prints it reads again, record for record.
    const trades = stdout.split('\n').filter((line) => line.startsWith('{"type":"trade"'))
    const path = join(directory, 'trades.ndjson')
    writeFileSync(path, `${trades.join('\n')}\n`)
    const again = summary(path, '--venue', 'normalised', '--format', 'raw')
    t.equal(again.records.trade, 21_313)
    t.same(again.rejected, {})
  },
)

t.test('the final book is the one that the updates say', { skip: absent(SPOT) }, async (t) => {
  const { stdout } = decode(SPOT, '--venue', 'binance', '--format', 'cryptofeed')
  const again = decode(SPOT, '--venue', 'binance', '--format', 'cryptofeed').stdout
  t.ok(stdout === again, 'the same bytes give the same records')
  const book = new Map<string, string>()
  let quote = { bid_price: '', ask_price: '' }
  for (const line of stdout.split('\n').slice(0, -1)) {
    const record = JSON.parse(line)
    if (record.symbol !== 'NKN-USDT') continue
    if (record.type === 'quote') quote = record
    if (record.type !== 'book') continue
    const level = `${record.side} ${record.price}`
    if (record.action === 'clear') book.clear()
    else if (record.action === 'delete') book.delete(level)
    else book.set(level, record.size)
  }
  const prices = (side: string) =>
    [...book.keys()].filter((key) => key.startsWith(side)).map((key) => Number(key.split(' ')[1]))
  // Lines are grouped by channel within the connection, yet both end at the same moment: the best
  // levels of the book agree with the last quote to within the few updates between them.
  const [bid, ask] = [Math.max(...prices('buy')), Math.min(...prices('sell'))]
  t.ok(bid < ask, `${bid} < ${ask}`)
  t.ok(Math.abs(bid / Number(quote.bid_price) - 1) < 0.01)
  t.ok(Math.abs(ask / Number(quote.ask_price) - 1) < 0.01)
})

t.test('no book is crossed, and the feed has those of the client', { skip: absent(SPOT) }, (t) => {
  const { stdout } = decode(SPOT, '--venue', 'binance', '--format', 'cryptofeed')
  const rig = new DecodeRig('ndjson')
  const books = new Books({ want: () => t.fail('a book needs another image') })
  const clients = new ClientBooks()
  for (const line of stdout.split('\n').filter((text) => text.includes('"type":"book"'))) {
    rig.sendRaw(line)
    books.applyAll(rig.batch, 0)
    const book = clients.apply(JSON.parse(line))
    if (book?.isWhole && book.isCrossed) t.fail(line)
  }
  t.equal(books.breakCount, 0)
  t.equal(books.count, clients.names().length)
  for (let id = 1; id <= books.count; id++) {
    const { venue = '', symbol = '' } = rig.instruments.get(id) ?? {}
    const [own, other] = [books.get(id), clients.get(`${venue}:${symbol}`)]
    t.same([own?.bids.count, own?.asks.count], [other?.bids.length, other?.asks.length], symbol)
    t.ok(own?.isReady)
  }
  t.end()
})
