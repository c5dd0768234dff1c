import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AckClient } from '../support/ack-client.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { startPostgres, type TestPostgres } from '../support/postgres.ts'

let postgres: TestPostgres
t.before(async () => {
  postgres = await startPostgres()
})
t.after(() => postgres.stop())

let schemas = 0

/** A daemon that may be stopped and started again, and its schema of a database of ours. */
class Place {
  readonly stateDir = makeStateDir()
  readonly schema = `restored_${++schemas}`
  readonly #settings: Record<string, unknown>
  #daemon: DaemonProcess | undefined

  constructor(t: Test, journal: object = {}) {
    this.#settings = {
      sources: [{ name: 'lines', type: 'tcp', listen: { port: 0 } }],
      redis: { mode: 'off' },
      journal,
    }
    t.teardown(async () => {
      await this.#daemon?.kill()
      rmSync(this.stateDir, { recursive: true, force: true })
    })
  }

  async start(url = postgres.url): Promise<DaemonProcess> {
    this.#daemon = await DaemonProcess.start(this.#options(url))
    return this.#daemon
  }

  /** What a daemon says that ends instead of starting. */
  async refusal(): Promise<string> {
    const daemon = DaemonProcess.spawn(this.#options(postgres.url))
    await daemon.exited()
    return daemon.stderr
  }

  #options(url: string) {
    const store = { mode: 'external', url, schema: this.schema, batch_ms: 10 }
    return { stateDir: this.stateDir, config: { ...this.#settings, postgres: store } }
  }

  /** Pushes trades with these prices; resolves when they are durable: to their first sequence. */
  async push(from: number, count: number): Promise<number> {
    const client = await AckClient.open((this.#daemon as DaemonProcess).listening('lines'))
    const lines = Array.from({ length: count }, (_, i) => {
      const fields = { type: 'trade', venue: 'bench', symbol: 'A-B', price: String(from + i) }
      return JSON.stringify({ ...fields, size: '1', ts_event: '2026-03-01T00:00:00Z' })
    })
    client.batch(undefined, lines.join('\n'))
    await client.until(({ acks }) => acks.length === 1)
    client.close()
    return client.acks[0]?.from_seq ?? -1
  }

  rows(sql: string): Promise<Record<string, unknown>[]> {
    return postgres.psql(sql.replaceAll('SCHEMA', this.schema))
  }

  /** Resolves when the database has these prices, no more and no fewer. */
  async stored(t: Test, from: number, count: number): Promise<void> {
    const endMs = performance.now() + 20_000
    const sql = `SELECT count(*)::int4 AS n, count(DISTINCT price)::int4 AS distinct,
      min(price)::int4 AS low, max(price)::int4 AS high FROM SCHEMA.trades`
    const wanted = { n: count, distinct: count, low: from, high: from + count - 1 }
    for (;;) {
      const [row] = await this.rows(sql).catch(() => [undefined])
      if (Number(row?.n) >= count || performance.now() > endMs) {
        t.same(row, wanted, 'each record is stored once')
        return
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Puts the database back to where it had `seq` records. */
  async restore(seq: number): Promise<void> {
    await this.rows(`DELETE FROM SCHEMA.trade WHERE seq >= ${seq};
      UPDATE SCHEMA.positions SET seq = ${seq}`)
  }

  async incidents(): Promise<{ kind: string; evidence: Record<string, unknown> }[]> {
    const http = (this.#daemon as DaemonProcess).address('http')
    const answer = (await (await fetch(`${http}/v1/incidents`)).json()) as {
      incidents: { kind: string; evidence: Record<string, unknown> }[]
    }
    return answer.incidents
  }

  get journal(): string {
    return join(this.stateDir, 'journal', 'shard-0')
  }
}

t.test('an older database gets what it misses from the journal', async (t) => {
  const place = new Place(t)
  let daemon = await place.start()
  await place.push(1, 500)
  await place.stored(t, 1, 500)
  await daemon.stop()
  await place.restore(120)
  daemon = await place.start()
  await place.push(501, 100)
  await place.stored(t, 1, 600)
  const [position] = await place.rows('SELECT seq::int4, journal, start FROM SCHEMA.positions')
  t.match(position, { seq: 600, journal: /^[0-9a-f]{16}$/, start: /^[0-9a-f]{16}$/ })
  await daemon.stop()
})

t.test('what an older database misses and the journal no longer has is told exactly', async (t) => {
  const journal = { segment_bytes: 65_536, retain_ms: 0, retain_bytes: 1_048_576 }
  const place = new Place(t, journal)
  let daemon = await place.start()
  for (let i = 0; i < 30; i++) await place.push(1 + 1000 * i, 1000)
  await place.stored(t, 1, 30_000)
  const oldest = () => Number(/\d+/.exec(readdirSync(place.journal).sort()[0] as string)?.[0])
  for (let tries = 0; tries < 100 && oldest() < 2000; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await daemon.stop()
  const from = oldest()
  t.ok(from >= 2000, `the journal begins at ${from}`)
  await place.restore(1000)
  daemon = await place.start()
  await daemon.waitFor(({ msg }) => msg.startsWith('records left the journal'))
  const line = daemon.lines.find(({ msg }) => msg.startsWith('records left the journal'))
  t.match(line, { from: 1000, records: Number(line?.to) - 999 })
  t.ok(Number(line?.to) >= from - 1)
  const lost = Number(line?.records)
  const endMs = performance.now() + 20_000
  let n = 0
  while (n < 30_000 - lost && performance.now() < endMs) {
    n = Number((await place.rows('SELECT count(*)::int4 AS n FROM SCHEMA.trades'))[0]?.n)
  }
  t.equal(n, 30_000 - lost, 'all others are there, once')
  t.match(
    (await place.incidents()).map(({ kind }) => kind),
    ['records_lost'],
  )
  await daemon.stop()
})

t.test('a lost journal: a new one begins beyond the database, said loudly', async (t) => {
  const place = new Place(t)
  let daemon = await place.start()
  await place.push(1, 300)
  await place.stored(t, 1, 300)
  await daemon.stop()
  // Everything: journal, instruments, epoch.
  rmSync(place.stateDir, { recursive: true })
  daemon = await place.start()
  const firstSeq = await place.push(301, 200)
  await place.stored(t, 1, 500)
  t.ok(firstSeq >= 2 ** 32, `the new journal began at ${firstSeq}`)
  const [position] = await place.rows('SELECT seq, epoch::int4 FROM SCHEMA.positions')
  t.match(position, { seq: String(firstSeq + 200), epoch: 131_072 })
  const lost = (await place.incidents()).find(({ kind }) => kind === 'journal_lost')
  t.match(lost?.evidence, { stored_seq: 300, begins_at: firstSeq })
  t.ok(daemon.lines.some(({ level, msg }) => level >= 50 && /journal/.test(msg)))
  t.match(await place.rows('SELECT symbol FROM SCHEMA.instruments'), [{ symbol: 'A-B' }])
  await daemon.stop()
  daemon = await place.start()
  t.equal(await place.push(501, 10), firstSeq + 200, 'the next start goes on as usual')
  await place.stored(t, 1, 510)
  await daemon.stop()
})

t.test('a journal that was rolled back is set aside, and nothing is overwritten', async (t) => {
  const place = new Place(t)
  let daemon = await place.start()
  await place.push(1, 100)
  await place.stored(t, 1, 100)
  await daemon.stop()
  const copy = `${place.stateDir}-copy`
  cpSync(place.stateDir, copy, { recursive: true })
  t.teardown(() => rmSync(copy, { recursive: true, force: true }))
  daemon = await place.start()
  await place.push(101, 400)
  await place.stored(t, 1, 500)
  await daemon.stop()
  rmSync(place.stateDir, { recursive: true })
  cpSync(copy, place.stateDir, { recursive: true })
  daemon = await place.start()
  const firstSeq = await place.push(501, 100)
  t.ok(firstSeq >= 2 ** 32)
  await place.stored(t, 1, 600)
  t.same(readdirSync(join(place.stateDir, 'journal')).sort(), ['shard-0', 'shard-0.ended-100'])
  const lost = (await place.incidents()).find(({ kind }) => kind === 'journal_lost')
  t.match(lost?.evidence, { stored_seq: 500, journal_ends: 100, begins_at: firstSeq })
  await daemon.stop()
})

t.test(
  'a rolled-back journal that went on without its database is refused, not mixed',
  async (t) => {
    const place = new Place(t)
    let daemon = await place.start()
    await place.push(1, 100)
    await place.stored(t, 1, 100)
    await daemon.stop()
    const copy = `${place.stateDir}-copy`
    cpSync(place.stateDir, copy, { recursive: true })
    t.teardown(() => rmSync(copy, { recursive: true, force: true }))
    daemon = await place.start()
    await place.push(101, 400)
    await place.stored(t, 1, 500)
    await daemon.stop()
    rmSync(place.stateDir, { recursive: true })
    cpSync(copy, place.stateDir, { recursive: true })
    // As many starts and more records than in the life that the database knows.
    daemon = await place.start('postgresql://nobody@127.0.0.1:1/none')
    await place.push(10_001, 1000)
    await daemon.stop()
    t.match(await place.refusal(), /up to 499, and the journal has others in their place/)
    await place.stored(t, 1, 500)
  },
)
