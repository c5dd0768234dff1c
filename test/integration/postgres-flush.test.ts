import t from 'tap'
import { startPostgres, temporaryDirectory } from '../support/postgres.ts'
import { runUntil, StoreBench } from '../support/store-bench.ts'

t.test('what is committed counts as safe once it is on the disk of the server', async (t) => {
  // A WAL writer that sleeps: nothing is flushed before somebody asks for it.
  const postgres = await startPostgres(undefined, ['wal_writer_delay=10000', 'autovacuum=off'])
  t.teardown(() => postgres.stop())
  const bench = new StoreBench(temporaryDirectory('flush'))
  const { flushed } = bench
  const agent = bench.agent(postgres.url)
  t.teardown(() => {
    agent.onClose()
    bench.close()
  })
  await agent.onStart()
  // The migrations' own commits were flushed; wait until the first question was answered.
  bench.append(100)
  await runUntil(agent, () => bench.stored.load() === 100, 'committed')
  bench.append(100)
  await runUntil(agent, () => bench.stored.load() === 200, 'committed again')
  const endMs = performance.now() + 2500
  await runUntil(agent, () => performance.now() > endMs, 'two questions')
  const [lsn] = await postgres.psql(
    'SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn() AS behind',
  )
  if (lsn?.behind === true) t.ok(flushed.load() < 200, 'committed, and not yet safe')
  // A checkpoint flushes the WAL.
  await postgres.psql('CHECKPOINT')
  await runUntil(agent, () => flushed.load() === 200, 'safe')
  t.equal(flushed.load(), 200)
})
