// The live subscribers of the e2e bench: N WebSocket connections in a process of their own.
//
// argv: url count. Each subscribes to all trades in the binary sub-protocol and checks that the
// stream's sequence is dense. On any message from its parent it says how many records each has
// received, how many were declared as missed, and the undeclared holes (which fail the bench).

import { FeedReader } from './feed-reader.ts'

const [url = '', count = '0'] = process.argv.slice(2)
let subscribed = 0
const readers = Array.from({ length: Number(count) }, () => {
  const onReady = () => {
    if (++subscribed === Number(count)) process.send?.('ready')
  }
  return new FeedReader({ url, onReady })
})
process.on('message', () => process.send?.(readers.map(({ tally }) => tally)))
process.on('disconnect', () => process.exit())
