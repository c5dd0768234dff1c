// The live subscribers of the e2e bench: N WebSocket connections in a process of their own.
//
// argv: url count. Each subscribes to all trades in the binary sub-protocol and checks that the
// stream's sequence is dense. On 'report' it says how many records each has received, the gaps
// that were declared to it, and the holes that were not (which fail the bench).

import WebSocket from 'ws'

const [url = '', count = '0'] = process.argv.slice(2)
const LENGTH_BYTES = 4

interface Tally {
  records: number
  declared: number
  holes: number
  next: number
}

const tallies: Tally[] = []
let subscribed = 0
for (let i = 0; i < Number(count); i++) {
  const tally = { records: 0, declared: 0, holes: 0, next: -1 }
  tallies.push(tally)
  const socket = new WebSocket(url, 'tickd.v1.fb', { perMessageDeflate: false })
  socket.binaryType = 'nodebuffer'
  socket.on('open', () => {
    const request = { op: 'subscribe', id: 1, channel: 'trades', symbols: ['*'], slow: 'gap' }
    socket.send(JSON.stringify(request))
  })
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) onBatch(tally, data)
    else onControl(tally, JSON.parse(data.toString()))
  })
}
process.on('message', () => process.send?.(tallies))
process.on('disconnect', () => process.exit())

function onControl(tally: Tally, message: { op: string; [field: string]: unknown }): void {
  if (message.op === 'ack') {
    tally.next = Number(message.next_seq)
    if (++subscribed === tallies.length) process.send?.('ready')
  }
  if (message.op === 'gap' && message.cause === 'overrun') {
    // Journal sequences; the bench pushes trades alone, so they are all this stream's.
    tally.declared += Number(message.to_seq) - Number(message.from_seq) + 1
  } else if (message.op === 'gap') {
    tally.declared += Number(message.to) - Number(message.from) + 1
    tally.next = Number(message.to) + 1
  }
  if (message.op === 'error') throw new Error(JSON.stringify(message))
}

/** Reads first_seq and the vector's length through the FlatBuffers table; see schema/tick.fbs. */
function onBatch(tally: Tally, data: Buffer): void {
  const table = data.readUInt32LE(0)
  const vtable = table - data.readInt32LE(table)
  const field = (slot: number) => table + data.readUInt16LE(vtable + LENGTH_BYTES + 2 * slot)
  const firstSeq = Number(data.readBigUInt64LE(field(2)))
  const vector = field(3)
  const length = data.readUInt32LE(vector + data.readUInt32LE(vector))
  if (tally.next >= 0 && firstSeq !== tally.next) tally.holes++
  tally.next = firstSeq + length
  tally.records += length
}
