// Keeps order books with the client library, and prints their best levels whenever they change.
//
//   node examples/book.ts [ws://localhost:8080/v1/feed] [BTC-USD,ETH-*] [levels a side]

import { connect, followBooks, type Level } from '../client/index.ts'

const [url = 'ws://localhost:8080/v1/feed', symbols = '*', depth = '5'] = process.argv.slice(2)
const side = (levels: readonly Level[]) => {
  return levels.map(({ size, price }) => `${size} @ ${price}`).join('  ')
}

const feed = connect(url, {
  onState: (state, error) =>
    console.error(error === undefined ? state : `${state}: ${error.message}`),
})
const request = { symbols: symbols.split(','), depth: Number(depth) }
const { subscription } = followBooks(feed, request, (name, book) => {
  if (book === undefined) console.log(`${name}: not whole until its next image`)
  else console.log(`${name}: ${side(book.bids)}  |  ${side(book.asks)}`)
})
subscription.ready.catch((error) => {
  console.error(`refused: ${error.message}`)
  feed.close()
})
