// Pushes trades over TCP, as fast as they are taken, until its parent lets it go.
//
// argv: host port. One piece of lines is rendered, and sent again and again with new ids written
// into it, so that it costs next to nothing beside what is measured. Says 'ready' once it sends.

import { once } from 'node:events'
import { connect } from 'node:net'

const [host = '127.0.0.1', port = '0'] = process.argv.slice(2)
const SYMBOLS = 20
const PIECE_LINES = 2000
/** All ids have as many digits: they are written over each other. */
const FIRST_ID = 1_000_000_000
const ID_DIGITS = 10

let nextId = FIRST_ID
const { piece, idOffsets } = render()
const socket = connect(Number(port), host)
// The daemon may be the first to stop.
socket.on('error', () => process.exit())
await once(socket, 'connect')
process.on('disconnect', () => process.exit())
process.send?.('ready')
for (;;) {
  // A copy, as the socket keeps what it has not written yet.
  if (!socket.write(Buffer.from(piece))) await once(socket, 'drain')
  renumber()
}

function renumber(): void {
  for (const offset of idOffsets) {
    let rest = ++nextId
    for (let digit = ID_DIGITS - 1; digit >= 0; digit--) {
      piece[offset + digit] = 0x30 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
  }
}

function render(): { piece: Buffer; idOffsets: number[] } {
  const idOffsets: number[] = []
  let text = ''
  const time = `${new Date().toISOString().slice(0, -1)}000000Z`
  for (let i = 0; i < PIECE_LINES; i++) {
    const symbol = `S${String(i % SYMBOLS).padStart(2, '0')}-USD`
    const price = `${20_000 + (i % 9973)}.${String((i * 7919) % 100).padStart(2, '0')}`
    const size = `0.${String((i * 104_729) % 100_000).padStart(5, '0')}1`
    text += `{"type":"trade","venue":"load","symbol":"${symbol}","ts_event":"${time}","id":"`
    idOffsets.push(text.length)
    text += `${++nextId}","side":"${i % 2 === 0 ? 'buy' : 'sell'}",`
    text += `"price":"${price}","size":"${size}"}\n`
  }
  return { piece: Buffer.from(text), idOffsets }
}
