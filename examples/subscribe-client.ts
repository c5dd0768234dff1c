// The same with the client library: it verifies, fills what was missed, and survives restarts.
//
//   node examples/subscribe-client.ts [ws://localhost:8080/v1/feed] [BTC-USD,ETH-*]

import { connect } from '../client/index.ts'

const [url = 'ws://localhost:8080/v1/feed', symbols = '*'] = process.argv.slice(2)

const feed = connect(url, {
  onState: (state, error) =>
    console.error(error === undefined ? state : `${state}: ${error.message}`),
})
const trades = feed.subscribe(
  { channel: 'trades', symbols: symbols.split(','), from: 'live' },
  {
    gap: ({ cause, from, to }) => console.error(`not received: ${from} … ${to ?? '?'} (${cause})`),
  },
)
for await (const trade of trades) {
  if (trade.type !== 'trade') continue
  console.log(trade.seq, trade.ts_event, trade.symbol, trade.side, trade.size, '@', trade.price)
}
