// Dead letters of a real daemon: refused, listed, mended by a change of configuration, driven again
// once, whatever ends in between. Records are quotes, which have no ids: nothing but the replay
// itself keeps them from being stored twice.

import { execFile } from 'node:child_process'
import { existsSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { JournalReader } from '../../src/journal/reader.ts'
import { statJournal } from '../../src/journal/stat.ts'
import { Random } from '../../src/source/random.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { FLAG, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const KILLS = 5
/** A replay may be over before it is killed. */
const TRIES = 20
const LETTERS = 6000
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const run = promisify(execFile)
const seed = Number(process.env.TICKD_SEED ?? Date.now() & 0x7fffffff)
t.comment(`seed ${seed}`)
t.setTimeout(180_000)

const stateDir = makeStateDir()
t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))

function start(priceMax: number, sourceName = 'push'): Promise<DaemonProcess> {
  const source = { name: sourceName, type: 'tcp', listen: { port: 0 } }
  const off = { mode: 'off' }
  const config = {
    sources: [source],
    validate: { price_max: priceMax },
    postgres: off,
    redis: off,
    threads: 'compact',
  }
  return DaemonProcess.start({ stateDir, config })
}

function adminUrl(daemon: DaemonProcess): string {
  const line = daemon.lines.find(({ msg, name }) => msg === 'listening' && name === 'admin')
  return String(line?.address)
}

/** tickd dlq …: what it prints with --json. */
async function dlq(daemon: DaemonProcess | undefined, ...args: string[]) {
  const where = daemon === undefined ? ['--dir', stateDir] : ['--url', adminUrl(daemon)]
  const flags = ['--disable-warning=ExperimentalWarning', MAIN, 'dlq']
  const { stdout } = await run(process.execPath, [...flags, ...args, ...where, '--json'])
  return JSON.parse(stdout)
}

function quote(price: number): string {
  const sides = { bid_price: `${price}`, bid_size: '1', ask_price: `${price + 1}`, ask_size: '1' }
  const head = { type: 'quote', venue: 'x', symbol: 'A-B', ts_event: '2026-01-02T03:04:05Z' }
  return `${JSON.stringify({ ...head, ...sides })}\n`
}

async function push(daemon: DaemonProcess, text: string): Promise<void> {
  const { host, port } = daemon.listening('push')
  const socket = connect(port, host)
  socket.end(text)
  await new Promise((resolve, reject) => {
    socket.once('close', resolve).once('error', reject)
    socket.resume()
  })
}

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await test())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Times each bid price stands in the journal, and how many of those are flagged REPLAYED. */
function journal(): { prices: Map<number, number>; replayed: number } {
  const directory = join(stateDir, 'journal', 'shard-0')
  const { nextSeq, firstSeq } = statJournal(directory)
  const reader = new JournalReader({ directory, fromSeq: firstSeq, durable: () => nextSeq })
  const batch = new TickBatch(4096)
  const prices = new Map<number, number>()
  let replayed = 0
  while (reader.read(batch) > 0) {
    for (let i = 0; i < batch.count; i++) {
      const price = readNumber(batch.words, i * TICK_WORDS + WORD.p0) / 1e9
      prices.set(price, (prices.get(price) ?? 0) + 1)
      if (batch.flags(i) & FLAG.REPLAYED) replayed++
    }
  }
  reader.close()
  return { prices, replayed }
}

/** True once the log of settlements is longer by so much; false if the answer comes before. */
async function logGrows(bytes: number, answer: Promise<unknown>): Promise<boolean> {
  const file = join(stateDir, 'dead-letters', 'settled.log')
  const size = () => (existsSync(file) ? statSync(file).size : 0)
  const enough = size() + bytes
  let isAnswered = false
  void answer.then(() => {
    isAnswered = true
  })
  while (size() <= enough && !isAnswered) await new Promise((resolve) => setTimeout(resolve, 1))
  return !isAnswered
}

function onceEach(from: number, count: number): Map<number, number> {
  return new Map(Array.from({ length: count }, (_, i) => [from + i, 1]))
}

async function ledgerBalances(daemon: DaemonProcess): Promise<void> {
  const flags = ['--disable-warning=ExperimentalWarning', MAIN, 'ledger', '--check']
  await run(process.execPath, [...flags, '--url', daemon.address('http')])
}

t.test('refused, listed, mended, driven again: once', async (t) => {
  const strict = await start(1000)
  await push(strict, `${quote(1)}${quote(5000)}no json\n${quote(5001)}${quote(2)}`)
  await until('letters are on disk', async () => (await dlq(strict, 'list')).letters.length === 3)
  const { groups } = await dlq(strict, 'list', '--summary')
  t.match(groups, [
    { source: 'push', stage: 'validate', reason: 'price_out_of_range', letters: 2 },
    { source: 'push', stage: 'decode', reason: 'bad_json', letters: 1, bytes: 7 },
  ])
  const { letters } = await dlq(strict, 'list', '--reason', 'bad_json', '--since', '5m')
  t.match(letters, [{ state: 'open', format: 'ndjson', preview: 'no json', tries: 0 }])
  const shown = await dlq(strict, 'show', letters[0].id)
  t.match(shown, { text: 'no json', hex: Buffer.from('no json').toString('hex'), record: null })
  const refused = await dlq(strict, 'replay')
  t.match(refused, { letters: 3, settled: {}, refused: { bad_json: 1, price_out_of_range: 2 } })
  t.equal(await strict.stop(), 0)

  const mild = await start(1e9)
  const dry = await dlq(mild, 'replay', '--dry-run')
  t.match(dry, { settled: { recovered: 2 }, records: 0 })
  t.match(await dlq(mild, 'replay'), { letters: 3, settled: { recovered: 2 }, records: 2 })
  t.match(await dlq(mild, 'replay'), { letters: 1, settled: {}, records: 0 }, 'nothing twice')
  const metrics = await (await fetch(`${mild.address('http')}/metrics`)).text()
  t.match(metrics, /^tickd_letters_recovered_total(\{.*\})? 2$/m)
  await ledgerBalances(mild)
  t.equal(await mild.stop(), 0)
  const { prices, replayed } = journal()
  t.same(
    [...prices].sort(([a], [b]) => a - b),
    [
      [1, 1],
      [2, 1],
      [5000, 1],
      [5001, 1],
    ],
  )
  t.equal(replayed, 2)
  const all = await dlq(undefined, 'list', '--state', 'settled', '--state', 'open')
  t.same(
    all.letters.map(({ outcome }: { outcome: string }) => outcome).sort(),
    [null, 'recovered', 'recovered'].sort(),
  )
})

t.test('a source that is no longer configured is skipped; its letters keep its name', async (t) => {
  const daemon = await start(1e9, 'other')
  const { letters } = await dlq(daemon, 'list')
  t.match(letters, [{ source: 'push', reason: 'bad_json' }])
  t.match(await dlq(daemon, 'replay'), { letters: 1, skipped: { unknown_source: 1 } })
  await t.rejects(dlq(daemon, 'purge'), { message: /1 letters .* --yes/ })
  t.match(await dlq(daemon, 'purge', '--yes'), { purged: 1 })
  t.same((await dlq(daemon, 'list')).letters, [])
  await t.rejects(dlq(undefined, 'purge', '--yes'), { message: /STATE_DIR_UNUSABLE/ })
  t.equal(await daemon.stop(), 0)
  t.match(await dlq(undefined, 'purge', '--yes'), { purged: 0, filesRemoved: 1 })
})

t.test('kill -9 in the middle of replays: each record is stored once', async (t) => {
  const random = new Random(seed)
  const before = journal().prices.size
  let pushed = 0
  const refuseMore = async () => {
    const strict = await start(1000)
    const lines = Array.from({ length: LETTERS }, () => quote(10_000 + pushed++))
    await push(strict, lines.join(''))
    await until('letters are on disk', async () => {
      return (await dlq(strict, 'list', '--summary')).letters === LETTERS
    })
    await strict.stop()
  }
  await refuseMore()
  let kills = 0
  let doubts = 0
  for (let tries = 0; tries < TRIES && (kills < KILLS || doubts === 0); tries++) {
    const daemon = await start(1e9)
    const url = `${adminUrl(daemon)}/v1/dlq/replay?limit=100000`
    const answer = fetch(url, { method: 'POST' }).then(
      async (response) => await response.json(),
      () => undefined,
    )
    // Somewhere within its first groups, of which each says twice 60 KB.
    if (await logGrows(random.below(150_000), answer)) {
      await daemon.kill()
      kills++
      await answer
      doubts += (await dlq(undefined, 'list', '--summary', '--state', 'doubt')).letters
    } else {
      // It was quicker than we are: all are settled.
      t.equal(await daemon.stop(), 0)
      await refuseMore()
    }
  }
  const daemon = await start(1e9)
  await dlq(daemon, 'replay')
  t.match(await dlq(daemon, 'replay'), { letters: 0, records: 0 })
  await ledgerBalances(daemon)
  t.equal(await daemon.stop(), 0)
  const { prices } = journal()
  t.comment(`${kills} kills, ${doubts} letters in doubt after them, ${pushed} letters`)
  t.ok(kills > 0 && doubts > 0)
  t.equal(prices.size, before + pushed)
  const ours = new Map([...prices].filter(([price]) => price >= 10_000))
  t.same(ours, onceEach(10_000, pushed))
})
