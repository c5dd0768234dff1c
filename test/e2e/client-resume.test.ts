// The client over cuts of the network and a killed daemon: it goes on by itself, and what it has
// is what the daemon says was sent.

import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { WebSocket } from 'ws'
import { connect, type FeedEvent } from '../../client/index.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'

const WAIT_MS = 30_000
t.setTimeout(180_000)

async function until(test: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!test()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await sleep(10)
  }
}

function start(stateDir: string, port: number): Promise<DaemonProcess> {
  return DaemonProcess.start({
    stateDir,
    config: {
      serve: { listen: { port } },
      sources: [{ name: 'synthetic', type: 'synthetic', rate: 2000 }],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
}

/** Epoch:sequence -> the trade, as its id. Applies events as they come. */
class View {
  readonly records = new Map<string, string>()
  readonly causes: string[] = []
  twiceCount = 0

  take(event: FeedEvent): void {
    if (event.type === 'batch') {
      const { batch } = event
      for (let i = 0; i < batch.count; i++) {
        const record = batch.record(i)
        const key = `${batch.epoch}:${batch.firstSeq + i}`
        if (this.records.has(key)) this.twiceCount++
        if (record.type === 'trade') this.records.set(key, record.id ?? '')
      }
    } else if (event.type === 'gap') {
      const { cause, epoch, from, to } = event.gap
      this.causes.push(cause)
      // Void: received, and taken back.
      if (cause !== 'restart' || to === undefined) return
      for (let seq = from; seq <= to; seq++) this.records.delete(`${epoch}:${seq}`)
    }
  }

  /** How many of the epoch. Throws where a sequence is missing. */
  dense(epoch: number, first: number): number {
    let seq = first
    while (this.records.has(`${epoch}:${seq}`)) seq++
    const count = [...this.records.keys()].filter((key) => key.startsWith(`${epoch}:`)).length
    if (seq - first !== count) throw new Error(`epoch ${epoch}: ${seq} is missing`)
    return count
  }
}

t.test('cuts and kill -9: the view of a subscriber is what was sent', async (t) => {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  let daemon = await start(stateDir, 0)
  t.teardown(() => daemon.kill())
  const url = daemon.address('feed')
  const port = Number(new URL(url).port)

  const feed = connect(url, { WebSocket, backoffMs: [20, 200] })
  t.teardown(() => feed.close())
  const view = new View()
  const trades = feed.subscribe(
    { channel: 'trades' },
    {
      batch: (batch) => view.take({ type: 'batch', batch }),
      gap: (gap) => view.take({ type: 'gap', gap }),
    },
  )
  const { epoch, next_seq: first } = await trades.ready
  for (let cut = 1; cut <= 3; cut++) {
    const { size } = view.records
    await until(() => view.records.size > size + 200, 'trades')
    feed.cut()
    await until(() => feed.stats.reconnects === cut && feed.state === 'open', 'the reconnect')
  }
  await until(() => view.records.size > 1500, 'trades')

  await daemon.kill()
  daemon = await start(stateDir, port)
  const { size } = view.records
  await until(() => view.records.size > size + 500, 'trades of the next epoch')
  t.equal(trades.position?.epoch, epoch + 1)

  const beforeCount = view.dense(epoch, first ?? 1)
  const afterCount = view.dense(epoch + 1, 1)
  t.ok(beforeCount > 1000, `${beforeCount} of the epoch before`)
  t.ok(afterCount > 100, `${afterCount} of the epoch after`)
  t.equal(view.twiceCount, 0, 'nothing came twice')
  t.match(trades.stats, { missed: 0, undeclared: 0, corrupt: 0 })
  t.same(
    view.causes.filter((cause) => cause !== 'restart'),
    [],
    'no other gap',
  )

  // Somebody who comes later and asks for all of it has the same.
  const later = connect(url, { WebSocket, protocol: 'msgpack' })
  t.teardown(() => later.close())
  const other = new View()
  const end = trades.position?.seq as number
  const again = later.subscribe({ channel: 'trades', from: { epoch, seq: first ?? 1 } })
  for await (const event of again.events()) {
    other.take(event)
    if (other.records.has(`${epoch + 1}:${end - 1}`)) break
  }
  t.equal(other.dense(epoch, first ?? 1), beforeCount, 'of the epoch before, all and no more')
  const differing = [...view.records].filter(([key, id]) => {
    return (
      Number(key.split(':')[1]) < end && other.records.has(key) && other.records.get(key) !== id
    )
  })
  t.same(differing, [])
  t.equal(await daemon.stop(), 0)
})

t.test('a reader that is too slow has everything, in order', async (t) => {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const daemon = await start(stateDir, 0)
  t.teardown(() => daemon.stop())
  // Node's own WebSocket cannot be paused: what does not fit is dropped, told, and filled.
  const feed = connect(daemon.address('feed'), { queueRecordsMax: 100 })
  t.teardown(() => feed.close())
  const trades = feed.subscribe({ channel: 'trades' })
  await trades.ready
  await until(() => feed.stats.records > 600, 'more than fits')
  let next = 0
  let count = 0
  for await (const batch of trades.batches()) {
    if (next !== 0) t.equal(batch.firstSeq, next)
    next = batch.firstSeq + batch.count
    count += batch.count
    if (count > 2000) break
  }
  t.ok(trades.stats.missed > 0, `${trades.stats.missed} were dropped`)
  t.ok(trades.stats.filled > 0, `${trades.stats.filled} were filled`)
})
