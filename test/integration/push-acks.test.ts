import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { JournalReader } from '../../src/journal/reader.ts'
import { statJournal } from '../../src/journal/stat.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { AckClient } from '../support/ack-client.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const SOURCES = [
  { name: 'lines', type: 'tcp', listen: { port: 0 } },
  { name: 'ticks', type: 'tcp', format: 'packed', listen: { port: 0 } },
  { name: 'posts', type: 'http' },
]
const CONFIG = {
  sources: SOURCES,
  postgres: { mode: 'off' },
  redis: { mode: 'off' },
  admin: { enabled: false },
  // A retry is known by its batch, not by what trades are in it.
  validate: { duplicate_window: 0 },
}

/** A daemon in a state directory that outlives it. */
class Place {
  readonly stateDir = makeStateDir()
  daemon: DaemonProcess | undefined

  readonly start = async (config: object = {}): Promise<DaemonProcess> => {
    this.daemon = await DaemonProcess.start({
      stateDir: this.stateDir,
      config: { ...CONFIG, ...config },
    })
    return this.daemon
  }

  /** Prices of all trades in the journal, in order, as whole numbers: what `trade` was given. */
  readonly journalled = (): number[] => {
    const directory = join(this.stateDir, 'journal', 'shard-0')
    const { firstSeq, nextSeq } = statJournal(directory)
    const reader = new JournalReader({ directory, fromSeq: firstSeq, durable: () => nextSeq })
    const batch = new TickBatch(4096)
    const prices: number[] = []
    while (reader.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) {
        prices.push(readNumber(batch.words, i * TICK_WORDS + WORD.p0) / 1e9)
      }
    }
    reader.close()
    return prices
  }

  async remove(): Promise<void> {
    await this.daemon?.kill()
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}

function place(t: { teardown(fn: () => Promise<void>): void }): Place {
  const made = new Place()
  t.teardown(() => made.remove())
  return made
}

/** Lines of trades with these whole numbers as prices. */
function trades(from: number, count: number): string {
  return Array.from({ length: count }, (_, i) => {
    const fields = { type: 'trade', venue: 'bench', symbol: 'A-B', price: String(from + i) }
    return `${JSON.stringify({ ...fields, size: '1', ts_event: '2026-03-01T00:00:00Z' })}\n`
  }).join('')
}

const wholes = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

async function post(
  daemon: DaemonProcess,
  key: string,
  body: string,
): Promise<Record<string, unknown>> {
  const response = await fetch(`${daemon.address('http')}/v1/ticks`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
    body,
  })
  return { status: response.status, ...((await response.json()) as object) }
}

t.test('10,000 pipelined batches are acknowledged, each exactly once and in order', async (t) => {
  const { start, journalled } = place(t)
  const daemon = await start()
  const client = await AckClient.open(daemon.listening('lines'))
  const batches = 10_000
  for (let i = 0; i < batches; i++) {
    if (!client.batch(`b-${i}`, trades(2 * i + 1, 2))) {
      await new Promise((resolve) => client.socket.once('drain', resolve))
    }
  }
  await client.until(({ acks }) => acks.length >= batches)
  t.match(client.answers[0], { op: 'welcome', epoch: 1, shard: 0, batch_bytes_max: 524_288 })
  const wrong = client.acks.findIndex(
    ({ batch, id, from_seq, to_seq, accepted }, i) =>
      batch !== i + 1 ||
      id !== `b-${i}` ||
      accepted !== 2 ||
      from_seq !== 2 * i ||
      to_seq !== 2 * i + 1,
  )
  t.equal(wrong, -1, 'each has its own two records')
  t.equal(client.answers.length, batches + 1)
  await daemon.stop()
  t.same(journalled(), wholes(1, 2 * batches))
})

t.test('killed between durability and answer, a retry is told what was stored', async (t) => {
  const { start, journalled } = place(t)
  let daemon = await start()
  const client = await AckClient.open(daemon.listening('lines'))
  const posted = post(daemon, 'p-1', trades(100, 50)).catch(() => {})
  client.batch('a-1', trades(1, 10))
  client.batch('a-2', trades(11, 10))
  await client.until(({ acks }) => acks.length === 2)
  await posted
  // What the pushers have heard is forgotten: for them, no answer has come.
  await daemon.kill()
  daemon = await start()
  const again = await AckClient.open(daemon.listening('lines'))
  again.batch('a-1', trades(1, 10))
  again.batch('a-3', trades(21, 10))
  again.batch('a-2', trades(11, 10))
  await again.until(({ acks }) => acks.length === 3)
  t.match(again.acks, [
    { id: 'a-1', epoch: 2, accepted: 0, duplicate: 10, repeated: 10 },
    { id: 'a-3', accepted: 10, duplicate: 0 },
    { id: 'a-2', accepted: 0, duplicate: 10, repeated: 10 },
  ])
  t.equal(again.acks[0]?.from_seq, client.acks[0]?.from_seq)
  t.equal(again.acks[2]?.to_seq, client.acks[1]?.to_seq)
  t.match(await post(daemon, 'p-1', trades(100, 50)), { status: 200, accepted: 0, repeated: 50 })
  await daemon.stop()
  t.same(sorted(journalled()), [...wholes(1, 30), ...wholes(100, 50)])
})

t.test('killed while batches are under way, retries complete them, none twice', async (t) => {
  const { start, journalled } = place(t)
  const count = 300
  for (let round = 0; round < 4; round++) {
    const daemon = await start()
    const client = await AckClient.open(daemon.listening('lines'))
    const poster = Array.from({ length: 4 }, (_, i) =>
      post(daemon, `long-${i}`, trades(10_000 * (i + 1), 3000)).catch(() => ({ status: 0 })),
    )
    for (let i = 0; i < count; i++) client.batch(`b-${i}`, trades(1 + 10 * i, 10))
    if (round < 3) {
      await client.until(({ acks }) => acks.length > round * 60)
      await daemon.kill()
      await Promise.all(poster)
      continue
    }
    await client.until(({ acks }) => acks.length === count)
    for (const { status } of await Promise.all(poster)) t.equal(status, 200)
    await daemon.stop()
  }
  const long = [1, 2, 3, 4].flatMap((i) => wholes(10_000 * i, 3000))
  t.same(sorted(journalled()), [...wholes(1, 10 * count), ...long])
})

t.test('retries of one id at the same time store it once', async (t) => {
  const { start, journalled } = place(t)
  const daemon = await start()
  const body = trades(1, 5000)
  const answers = await Promise.all(Array.from({ length: 8 }, () => post(daemon, 'same', body)))
  let accepted = 0
  for (const answer of answers) {
    t.match(answer, { status: 200, first_seq: 0, last_seq: 4999, rejected: 0 })
    t.equal(Number(answer.accepted) + Number(answer.duplicate), 5000)
    accepted += Number(answer.accepted)
  }
  t.equal(accepted, 5000)
  await daemon.stop()
  t.same(journalled(), wholes(1, 5000))
})

t.test('an id that stood for other bytes is refused, and the connection goes on', async (t) => {
  const { start, journalled } = place(t)
  const daemon = await start()
  const client = await AckClient.open(daemon.listening('lines'))
  client.batch('x', trades(1, 2))
  client.batch('x', trades(3, 2))
  client.batch(undefined, trades(5, 1))
  client.batch(undefined, trades(5, 1))
  await client.until(({ answers }) => answers.length === 5)
  t.match(client.answers.slice(1), [
    { op: 'ack', batch: 1, id: 'x', accepted: 2 },
    { op: 'nack', batch: 2, id: 'x', code: 'id_reused', accepted: 0, from_seq: null },
    { op: 'ack', batch: 3, accepted: 1 },
    { op: 'ack', batch: 4, accepted: 1 },
  ])
  t.match(await post(daemon, 'x', trades(7, 1)), { status: 200, accepted: 1 }, 'of another source')
  t.match(await post(daemon, 'x', trades(8, 1)), { status: 409, error: { code: 'key_reused' } })
  await daemon.stop()
  t.same(journalled(), [1, 2, 5, 5, 7])
})

t.test('a stream that ends gets what it waits for; a broken one is told why', async (t) => {
  const { start } = place(t)
  const daemon = await start()
  const client = await AckClient.open(daemon.listening('lines'))
  for (let i = 0; i < 50; i++) client.batch(`e-${i}`, trades(i + 1, 1))
  client.socket.end()
  await client.until(({ isClosed }) => isClosed)
  t.equal(client.acks.length, 50)
  for (const [line, code] of [
    ['{"op":"batch","bytes":0}\n', 'bad_batch'],
    ['{"op":"batch","bytes":524289}\n', 'bad_batch'],
    ['{"op":"batch","bytes":5,"id":""}\n', 'bad_batch'],
    ['{"type":"trade"}\n', 'bad_line'],
    [`${'x'.repeat(5000)}`, 'bad_line'],
    ['{"op":"hello","acks":true}\n', 'bad_line'],
  ] as const) {
    const broken = await AckClient.open(daemon.listening('lines'))
    broken.socket.write(line)
    await broken.until(({ isClosed }) => isClosed)
    t.match(broken.answers.at(-1), { op: 'error', code }, line.slice(0, 40))
  }
  await daemon.stop()
})

t.test('packed ticks are acknowledged in the same way', async (t) => {
  const { start } = place(t)
  const daemon = await start()
  const client = await AckClient.open(daemon.listening('ticks'))
  client.batch('bad', new Uint8Array(64))
  client.batch('bad', new Uint8Array(64))
  await client.until(({ acks }) => acks.length === 2)
  t.match(client.acks[0], { accepted: 0, rejected: 1, from_seq: null })
  client.socket.write('{"op":"batch","bytes":65}\n')
  await client.until(({ isClosed }) => isClosed)
  t.match(client.answers.at(-1), { op: 'error', code: 'bad_batch' })
  await daemon.stop()
})

t.test('ids that have aged out are stored again, as documented', async (t) => {
  const { start, journalled } = place(t)
  const daemon = await start({ journal: { batch_ids: 1024 } })
  const client = await AckClient.open(daemon.listening('lines'))
  for (let i = 0; i <= 1024; i++) client.batch(`n-${i}`, trades(i + 1, 1))
  await client.until(({ acks }) => acks.length === 1025)
  client.batch('n-1', trades(2, 1))
  client.batch('n-0', trades(1, 1))
  await client.until(({ acks }) => acks.length === 1027)
  t.match(client.acks.at(-2), { accepted: 0, repeated: 1 })
  t.match(client.acks.at(-1), { accepted: 1, repeated: 0 })
  await daemon.stop()
  t.equal(journalled().length, 1026)
})

function sorted(prices: number[]): number[] {
  return prices.sort((a, b) => a - b)
}
