// Migrations, partitions and plans, on a real server.

import { readFileSync } from 'node:fs'
import type { Client } from 'pg'
import t from 'tap'
import { connect } from '../../src/storage/postgres/connection.ts'
import { migrate } from '../../src/storage/postgres/schema.ts'
import { VIEW_NAMES } from '../../src/storage/postgres/views.ts'
import { DEBIAN_15, hasDebian15, startPostgres, type TestPostgres } from '../support/postgres.ts'

const servers = [
  { name: 'embedded', binaries: undefined, skip: false },
  { name: '15', binaries: DEBIAN_15, skip: !hasDebian15 && 'it is not installed here' },
]

async function open(url: string): Promise<{ client: Client; close(): void }> {
  return await connect({ url, name: 'test', timeoutMs: 5000 })
}

async function addPartition(postgres: TestPostgres, kind: string, day: string) {
  const [row] = await postgres.psql(`SELECT tickd.add_partition('${kind}', '${day}', 1000) AS is`)
  return row?.is
}

/** The text of a query's plan. */
async function plan(postgres: TestPostgres, sql: string): Promise<string> {
  const rows = await postgres.psql(`EXPLAIN (COSTS off) ${sql}`)
  return rows.map((row) => row['QUERY PLAN']).join('\n')
}

for (const { name, binaries, skip } of servers) {
  t.test(`PostgreSQL ${name}`, { skip }, async (t) => {
    const postgres = await startPostgres(binaries)
    t.teardown(() => postgres.stop())

    t.test('migrations run once, however many connections ask at the same time', async (t) => {
      const connections = await Promise.all([1, 2, 3, 4].map(() => open(postgres.url)))
      const applied = await Promise.all(connections.map(({ client }) => migrate(client, 'tickd')))
      t.same(
        applied.flat().filter((step) => step === 'tables'),
        ['tables'],
      )
      t.equal(applied.flat().length, new Set(applied.flat()).size, 'no step is made twice')
      t.ok(applied.flat().some((step) => step.startsWith('views ')))
      t.same(await migrate((connections[0] as { client: Client }).client, 'tickd'), [])
      for (const connection of connections) connection.close()
    })

    t.test('two schemas live beside each other', async (t) => {
      const { client, close } = await open(postgres.url)
      t.equal((await migrate(client, 'other'))[0], 'tables')
      await client.query('DROP SCHEMA other CASCADE')
      close()
    })

    t.test('views are made anew when the program’s text of them is another', async (t) => {
      const { client, close } = await open(postgres.url)
      await client.query(`UPDATE tickd.migrations SET name = 'views of old' WHERE id = 0`)
      const applied = await migrate(client, 'tickd')
      t.equal(applied.length, 1)
      t.match(applied[0], /^views /)
      close()
    })

    t.test('a schema of a newer program is left alone', async (t) => {
      const { client, close } = await open(postgres.url)
      await client.query(`INSERT INTO tickd.migrations (id, name) VALUES (999, 'later')`)
      await t.rejects(migrate(client, 'tickd'), { code: 'POSTGRES_CONFLICT', message: /newer/ })
      await client.query('DELETE FROM tickd.migrations WHERE id = 999')
      close()
    })

    t.test('a partition is made once', async (t) => {
      t.equal(await addPartition(postgres, 'trade', '2026-03-01'), 'created')
      t.equal(await addPartition(postgres, 'trade', '2026-03-01'), 'exists')
      t.equal(await addPartition(postgres, 'trade', '2026-03-02'), 'created')
      t.equal(await addPartition(postgres, 'quote', '2026-03-01'), 'created')
    })

    t.test('rows of a day in the default partition keep the day there', async (t) => {
      await postgres.psql(
        `INSERT INTO tickd.trade (ts, seq, instrument, flags, source, side)
         VALUES ('2026-03-05 12:00+00', 1, 1, 0, 0, 0)`,
      )
      t.equal(await addPartition(postgres, 'trade', '2026-03-05'), 'default')
      t.equal(await addPartition(postgres, 'trade', '2026-03-06'), 'created')
      await postgres.psql('DELETE FROM tickd.trade_default')
    })

    t.test('a detached day is not written to behind its owner’s back', async (t) => {
      await postgres.psql('ALTER TABLE tickd.trade DETACH PARTITION tickd.trade_20260306')
      t.equal(await addPartition(postgres, 'trade', '2026-03-06'), 'default')
      await postgres.psql('DROP TABLE tickd.trade_20260306')
      t.equal(await addPartition(postgres, 'trade', '2026-03-06'), 'created')
    })

    t.test('a partition can be added while a query on the table runs', async (t) => {
      const { client, close } = await open(postgres.url)
      await client.query('BEGIN')
      await client.query(`SELECT count(*) FROM tickd.trades
        WHERE ts >= '2026-03-01' AND ts < '2026-03-02'`)
      t.equal(await addPartition(postgres, 'trade', '2026-03-07'), 'created')
      await client.query('COMMIT')
      close()
    })

    t.test('a range of ts picks the partitions of its days, and no other', async (t) => {
      const text = await plan(
        postgres,
        `SELECT venue, symbol, price FROM tickd.trades
         WHERE ts >= '2026-03-01 10:00+00' AND ts < '2026-03-01 11:00+00' AND symbol = 'BTC-USD'`,
      )
      t.match(text, 'trade_20260301')
      t.notMatch(text, /trade_20260302|trade_default/)
    })

    t.test('a range of ts within a day uses the index on ts', async (t) => {
      await postgres.psql(
        `INSERT INTO tickd.trade (ts, seq, instrument, flags, source, side, price)
         SELECT '2026-03-01 00:00+00'::timestamptz + n * interval '1 second', n, 1, 0, 0, 0, n
         FROM generate_series(1, 80000) n`,
      )
      await postgres.psql(
        `SELECT brin_summarize_new_values('tickd.trade_20260301_ts_idx'); ANALYZE tickd.trade`,
      )
      const text = await plan(
        postgres,
        `SELECT price FROM tickd.trades
         WHERE ts >= '2026-03-01 10:00+00' AND ts < '2026-03-01 10:05+00'`,
      )
      t.match(text, /Bitmap Index Scan on trade_20260301_ts_idx/)
    })

    t.test('the queries of docs/sql.md run', async (t) => {
      const text = readFileSync(new URL('../../docs/sql.md', import.meta.url), 'utf8')
      const queries = [...text.matchAll(/```sql\n(.*?)```/gs)].map(([, sql]) => sql as string)
      t.ok(queries.length >= 4)
      for (const sql of queries) {
        await t.resolves(postgres.psql(`SET search_path = tickd; ${sql}`), sql.slice(0, 60))
      }
    })

    t.test('every view can be read', async (t) => {
      for (const view of Object.values(VIEW_NAMES)) {
        await t.resolves(postgres.psql(`SELECT * FROM tickd.${view} LIMIT 1`))
      }
    })
  })
}
