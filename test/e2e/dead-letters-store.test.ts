// A record that the database refuses is a dead letter, and stored once its cause is mended,
// although decode remembers its trade id as one that was accepted.

import t from 'tap'
import { DaemonProcess } from '../support/daemon.ts'
import { psql } from '../support/postgres.ts'

const WAIT_MS_MAX = 30_000

t.setTimeout(120_000)

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  while (!(await test())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function trade(id: number): string {
  const what = { type: 'trade', venue: 'x', symbol: 'A-B', side: 'buy', price: '5', size: '1' }
  return `${JSON.stringify({ ...what, id: String(id), ts_event: '2026-01-02T03:04:05Z' })}\n`
}

t.test('refused by a constraint, driven again without it: stored, once', async (t) => {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'push', type: 'http' }],
      redis: { mode: 'off' },
      postgres: { batch_ms: 20 },
    },
  })
  t.teardown(() => daemon.stop())
  const line = daemon.lines.find(({ msg, name }) => msg === 'listening' && name === 'admin')
  const dlq = async (method: string, path: string) =>
    (await (await fetch(`${line?.address}/v1/dlq${path}`, { method })).json()) as {
      letters: Record<string, string>[]
    }
  const push = async (...ids: number[]) => {
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = ids.map(trade).join('')
    const url = `${daemon.address('http')}/v1/ticks`
    return (await fetch(url, { method: 'POST', headers, body })).json()
  }
  const stored = async () => {
    const rows = await psql(daemon.postgresUrl, 'SELECT trade_id FROM tickd.trade ORDER BY 1')
    return rows.map(({ trade_id }) => Number(trade_id))
  }
  await psql(
    daemon.postgresUrl,
    'ALTER TABLE tickd.trade ADD CONSTRAINT not_two CHECK (trade_id <> 2)',
  )
  t.match(await push(1, 2, 3), { accepted: 3 })
  await until('the good ones are stored', async () => (await stored()).length === 2)
  const [letter] = (await dlq('GET', '?stage=store')).letters
  t.match(letter, { source: 'push', reason: 'refused_by_postgres', preview: /not_two/ })
  t.match(await dlq('GET', `/${letter?.id}`), { detail: /^23514/, record: { id: '2' } })

  await psql(daemon.postgresUrl, 'ALTER TABLE tickd.trade DROP CONSTRAINT not_two')
  t.match(await push(2), { accepted: 0, duplicate: 1 }, 'decode knows it')
  t.match(await dlq('POST', '/replay'), { settled: { recovered: 1 }, records: 1 })
  t.match(await dlq('POST', '/replay'), { letters: 0 })
  await until('it is stored', async () => (await stored()).length === 3)
  t.same(await stored(), [1, 2, 3])
})
