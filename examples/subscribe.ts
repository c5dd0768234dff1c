// Prints trades as they happen, and tells when one is missing. FlatBuffers by DataView alone.
//
//   node examples/subscribe.ts [ws://localhost:8080/v1/feed] [BTC-USD,ETH-*]

import { WebSocket } from 'ws'

type Named = { id: number; venue: string; symbol: string }
type Lists = { instruments?: Named[]; symbols?: { instruments: Named[] }[] }
type Control = Lists & { op: string; next_seq?: number; to?: number }

const [url = 'ws://localhost:8080/v1/feed', symbols = '*'] = process.argv.slice(2)
const TICK_BYTES = 64
const SIDES = ['none', 'buy', 'sell']
const names = new Map<number, string>()
let next = 0n

const ws = new WebSocket(url, 'tickd.v1.fb')
ws.on('error', (error) => console.error(`cannot subscribe: ${error.message}`))
ws.on('close', (code, reason) => console.error(`closed: ${code} ${reason}`))
ws.on('message', (data: Buffer, isBinary) => {
  if (!isBinary) onControl(JSON.parse(data.toString()))
  else onBatch(new DataView(data.buffer, data.byteOffset, data.byteLength))
})

function onControl(control: Control): void {
  const { op, next_seq: nextSeq, to, instruments = [], symbols: results = [] } = control
  if (op === 'welcome') {
    ws.send(JSON.stringify({ op: 'subscribe', channel: 'trades', symbols: symbols.split(',') }))
  }
  if (op === 'ack') next = BigInt(nextSeq ?? 1)
  if (op === 'gap' || op === 'error') console.error(JSON.stringify(control))
  if (op === 'gap' && to !== undefined) next = BigInt(to) + 1n
  for (const { id, venue, symbol } of [...instruments, ...results.flatMap((r) => r.instruments)]) {
    names.set(id, `${venue}:${symbol}`)
  }
}

function onBatch(view: DataView): void {
  const table = view.getUint32(0, true)
  const vtable = table - view.getInt32(table, true)
  const field = (index: number) => table + view.getUint16(vtable + 4 + 2 * index, true)
  const firstSeq = view.getBigUint64(field(2), true)
  if (firstSeq !== next) console.error(`hole: expected ${next}, got ${firstSeq}`)
  const ticks = field(3) + view.getUint32(field(3), true)
  const count = view.getUint32(ticks, true)
  for (let i = 0; i < count; i++) {
    const tick = ticks + 4 + i * TICK_BYTES // layout: schema/tick.fbs
    const time = new Date(Number(view.getBigInt64(tick, true) / 1_000_000n)).toISOString()
    const name = names.get(view.getUint32(tick + 16, true))
    const price = Number(view.getBigInt64(tick + 32, true)) / 1e9
    const size = Number(view.getBigInt64(tick + 40, true)) / 1e8
    console.log(firstSeq + BigInt(i), time, name, SIDES[view.getUint8(tick + 23)], size, '@', price)
  }
  next = firstSeq + BigInt(count)
}
