// A venue that skips ids, and is cut off for a while: the subscribers of what is missing hear of
// it, at its place, live and when they go back; the daemon counts it.

import t from 'tap'
import { WebSocket } from 'ws'
import { connect, type Gap, recordsOf } from '../../client/index.ts'
import { DaemonProcess } from '../support/daemon.ts'
import { FeedClient } from '../support/feed-client.ts'
import { until } from '../support/source-bench.ts'
import { VenueServer } from '../support/venue-server.ts'

t.setTimeout(60_000)

/** What a client heard of BTC-USDT, in its order: an id of a trade, or a hole `of from-to`. */
function heardBy(url: string, channel: string, from: 'live' | { epoch: number; seq: number }) {
  const feed = connect(url, { WebSocket, protocol: 'json' })
  t.teardown(() => feed.close())
  const heard: string[] = []
  const onGap = ({ cause, message }: Gap) => {
    heard.push(`${cause} ${message?.of} ${message?.venue_from}-${message?.venue_to}`)
  }
  const subscription = feed.subscribe(
    { channel, symbols: ['binance:BTC-USDT'], from },
    {
      batch: (batch) => {
        for (const record of recordsOf(batch)) {
          if (record.type === 'trade') heard.push(String(record.id))
        }
      },
      gap: onGap,
    },
  )
  return { heard, ready: subscription.ready }
}

t.test('ids that a venue skips', async (t) => {
  const venue = await VenueServer.start()
  t.teardown(() => venue.close())
  const daemon = await DaemonProcess.start({
    config: {
      sources: [
        {
          name: 'venue',
          type: 'binance',
          venue: 'binance',
          endpoints: [venue.wsUrl],
          rest_endpoint: venue.restUrl,
          symbols: ['BTC-USDT', 'ETH-USDT'],
          backoff_min_ms: 10,
          backoff_max_ms: 100,
        },
      ],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  const streams = () => venue.connections.reduce((sum, { streams }) => sum + streams.size, 0)
  const live = () =>
    until(
      () => streams() === 6,
      'all streams are subscribed',
      () => {},
    )
  await live()
  const url = daemon.address('feed')
  const trades = heardBy(url, 'trades', 'live')
  const quotes = heardBy(url, 'quotes', 'live')
  const { epoch } = await trades.ready
  await quotes.ready

  const first = venue.trade('BTCUSDT')
  venue.trade('ETHUSDT')
  for (let i = 0; i < 3; i++) venue.trade('BTCUSDT', true)
  venue.trade('ETHUSDT')
  const second = venue.trade('BTCUSDT')
  await until(
    () => trades.heard.length === 3,
    'the hole and the trade behind it',
    () => {},
  )

  // Cut off: what happens meanwhile reaches nobody.
  for (const { socket } of venue.connections) socket.terminate()
  await until(
    () => streams() === 0,
    'cut',
    () => {},
  )
  venue.trade('BTCUSDT', true)
  await live()
  const third = venue.trade('BTCUSDT')
  const expected = [
    `${first}`,
    `upstream trade ${first + 1}-${first + 3}`,
    `${second}`,
    `upstream trade ${second + 1}-${second + 1}`,
    `${third}`,
  ]
  await until(
    () => trades.heard.length === 5,
    'the second hole',
    () => {},
  )
  t.same(trades.heard, expected)

  const before = venue.depth('BTCUSDT')
  venue.depth('BTCUSDT', 4, true)
  venue.depth('BTCUSDT')
  const ofBook = `upstream book ${before + 1}-${before + 4}`
  await until(
    () => quotes.heard.length > 0,
    'the hole of the book',
    () => {},
  )
  t.same(quotes.heard, [ofBook], 'who has quotes hears of the book, and not of trades')

  const again = heardBy(url, 'trades', { epoch, seq: 1 })
  await until(
    () => again.heard.length === 5,
    'all of it again',
    () => {},
  )
  t.same(again.heard, expected, 'the journal has it')
  t.same(trades.heard, expected, 'and who has trades heard nothing of the book')

  const raw = await FeedClient.open(url, 'tickd.v1.json')
  t.teardown(() => raw.close())
  await raw.subscribe({ channel: 'trades', from: { epoch, seq: 2 }, symbols: ['BTC-USDT'] })
  t.match(await raw.op('gap'), { epoch, next_seq: 2, cause: 'upstream' }, 'before what is next')
  const metrics = await (await fetch(`${daemon.address('http')}/metrics`)).text()
  t.match(metrics, /^tickd_decode_gaps_total\{source="venue"\} 3$/m)
  t.match(metrics, /^tickd_decode_gap_missing_total\{source="venue"\} 8$/m)
})
