// A daemon with a venue: books that break are resynchronised, one by one, by asking the venue.

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect, followBooks } from '../../client/index.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { VenueServer } from '../support/venue-server.ts'

const WAIT_MS = 12_000
const BTC = 'binance-us:BTC-USDT'
const ETH = 'binance-us:ETH-USDT'

const EXAMPLE = fileURLToPath(new URL('../../examples/book.ts', import.meta.url))

interface Rig {
  readonly venue: VenueServer
  readonly url: string
  /** What was told of a book, in order: its best levels, or broken. */
  readonly seen: (name: string) => string[]
  readonly until: (test: () => boolean, what: string) => Promise<void>
}

async function start(t: Test, faults?: string): Promise<Rig> {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const venue = await VenueServer.start()
  t.teardown(() => venue.close())
  const armed = { TICKD_TEST_FAULTS: faults ?? '', TICKD_TEST_FAULTS_ALLOWED: 'yes' }
  const daemon = await DaemonProcess.start({
    stateDir,
    ...(faults === undefined ? {} : { env: armed }),
    config: {
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
      sources: [
        {
          ...{ name: 'venue', type: 'binance', symbols: ['BTC-USDT', 'ETH-USDT'] },
          ...{ endpoints: [venue.wsUrl], rest_endpoint: venue.restUrl },
        },
      ],
    },
  })
  t.teardown(() => daemon.kill())
  const feed = connect(daemon.address('feed'), { WebSocket, backoffMs: [50, 200] })
  t.teardown(() => feed.close())
  const told: [string, string][] = []
  followBooks(feed, { depth: 2 }, (name, book) => {
    const best = book === undefined ? 'broken' : `${book.bids[0]?.price} ${book.asks[0]?.price}`
    told.push([name, best])
  })
  const until = async (test: () => boolean, what: string) => {
    const deadline = performance.now() + WAIT_MS
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`waited in vain for ${what}: ${told}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const isLive = () => venue.connections.some(({ streams }) => streams.has('ethusdt@depth'))
  await until(isLive, 'the subscription at the venue')
  const url = daemon.address('feed')
  return {
    venue,
    url,
    until,
    seen: (name) => told.filter(([n]) => n === name).map(([, best]) => best),
  }
}

/** What examples/book.ts has printed. */
function printed(t: Test, url: string): () => string {
  const args = ['--disable-warning=ExperimentalWarning', EXAMPLE, url, 'BTC-USDT', '1']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => child.kill())
  let text = ''
  child.stdout.on('data', (data) => {
    text += data
  })
  return () => text
}

t.test('a gap and a crossed book bring a fresh image of that book alone', async (t) => {
  const { venue, url, seen, until } = await start(t)
  for (const symbol of ['BTCUSDT', 'ETHUSDT']) venue.levels(symbol, [['99.50', '1']], [])
  for (const name of [BTC, ETH]) await until(() => seen(name).includes('100 100.2'), 'a book')
  t.same(venue.snapshotRequests.toSorted(), ['BTCUSDT 1000', 'ETHUSDT 1000'])
  const example = printed(t, url)
  await until(() => example().includes(`${BTC}: 1.5 @ 100  |  2`), 'the example')
  const broken = () => seen(BTC).filter((best) => best === 'broken').length
  venue.depth('BTCUSDT', 3, true)
  venue.levels('BTCUSDT', [['100.05', '1']], [])
  await until(() => broken() === 1 && seen(BTC).at(-1) !== 'broken', 'the book behind a gap')
  venue.levels('BTCUSDT', [['100.30', '1']], [])
  await until(() => broken() === 2, 'the word that it is crossed')
  await until(() => seen(BTC).at(-1) !== 'broken', 'the book again')
  t.equal(venue.snapshotRequests.filter((request) => request === 'BTCUSDT 1000').length, 3)
  t.equal(venue.snapshotRequests.length, 4, 'nothing was asked for the other one')
  await until(() => example().includes(`${BTC}: not whole`), 'the example to say so')
  t.notOk(seen(ETH).includes('broken'))
  t.notOk(seen(BTC).some((best) => best === '100.3 100.2'))
})

t.test('a decode agent that is made anew has the books checked by fresh images', async (t) => {
  const { venue, seen, until } = await start(t, 'decode-0:throw@4000')
  venue.levels('BTCUSDT', [['99.50', '1']], [])
  await until(() => seen(BTC).includes('100 100.2'), 'a book')
  t.equal(venue.snapshotRequests.length, 1)
  // A level that the venue's image does not have: it is gone when the image has come.
  venue.levels('BTCUSDT', [['100.10', '1']], [])
  await until(() => seen(BTC).at(-1) === '100.1 100.2', 'the level')
  await until(() => {
    venue.levels('BTCUSDT', [['99.60', '1']], [])
    return seen(BTC).at(-1) === '100 100.2'
  }, 'the image')
  t.equal(venue.snapshotRequests.length, 2)
  t.notOk(seen(BTC).includes('broken'), 'nothing was missed')
})

t.test('a serve agent that is made anew asks for images of the books it finds', async (t) => {
  const { venue, seen, until } = await start(t, 'serve:throw@4000')
  venue.levels('BTCUSDT', [['99.50', '1']], [])
  await until(() => seen(BTC).includes('100 100.2'), 'a book')
  await until(() => seen(BTC).includes('broken'), 'the end of the agent')
  const before = seen(BTC).length
  await until(() => {
    venue.levels('BTCUSDT', [['99.60', '1']], [])
    return seen(BTC).length > before && seen(BTC).at(-1) !== 'broken'
  }, 'the book again')
  t.pass('whole again')
})
