// The two servers of the fan-out bench: the real serve agent, and uWebSockets.js with nothing.
//
// argv: tickd | bare, frame ticks. Both send what was asked for as fast as their subscribers take
// it: at most WINDOW_TICKS ahead of the slowest, who tells how far it is on a connection of its
// own. Both get their ticks from one prepared batch, and both work in turns of the event loop.

import { App, type us_listen_socket, us_socket_local_port } from 'uWebSockets.js'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { TICK_RING_TICKS } from '../src/limits.ts'
import { Frame } from '../src/serve/feed/fb-frame.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_WORDS, WORD } from '../src/tick/layout.ts'
import { ServeRig } from '../test/support/serve-rig.ts'

const PROGRESS_BYTES = 6
/** 2 MiB of frames for each subscriber: no queue of ours or of the kernel runs dry. */
const WINDOW_TICKS = 32_768
const PUBLISH_TICKS = 1024
/** As many as the serve agent reads in one duty cycle. */
const TURN_TICKS = 8 * PUBLISH_TICKS
const BUFFER_BYTES_MAX = 64 * 2 ** 20
const SYMBOLS = 20

interface FanOut {
  readonly url: string
  /** Sends ticks batch[from, from + count). */
  send(from: number, count: number): void
  /** Once a turn. */
  turn(): void
  close(): Promise<void>
}

const [mode = '', frameTicksText = '64'] = process.argv.slice(2)
const frameTicks = Number(frameTicksText)
const batch = new TickBatch(PUBLISH_TICKS)
fillBatch()
const server = mode === 'tickd' ? tickdServer() : bareServer()

/** Ticks that the slowest subscriber has received since the start. */
let received = 0
let sent = 0
const control = createServer((socket) => {
  let kept = Buffer.alloc(0)
  socket.on('data', (data) => {
    kept = Buffer.concat([kept, data])
    const whole = kept.length - (kept.length % PROGRESS_BYTES)
    if (whole > 0) received = kept.readUIntLE(whole - PROGRESS_BYTES, PROGRESS_BYTES)
    kept = kept.subarray(whole)
  })
})
control.listen(0, '127.0.0.1')
await once(control, 'listening')

const address = { url: server.url, controlPort: (control.address() as AddressInfo).port }
process.on('message', (order: 'address' | number) => {
  if (order === 'address') process.send?.(address)
  else run(order)
})
process.on('disconnect', async () => {
  await server.close()
  process.exit()
})
process.send?.('ready')

/** Sends `ticks` to every subscriber; answers when it began, once all of them have arrived. */
function run(ticks: number): void {
  const end = sent + ticks
  const beganNs = Number(process.hrtime.bigint())
  const turn = () => {
    const turnEnd = Math.min(end, sent + TURN_TICKS, received + WINDOW_TICKS)
    for (; sent + PUBLISH_TICKS <= turnEnd; sent += PUBLISH_TICKS) server.send(0, PUBLISH_TICKS)
    server.turn()
    if (received < end) setImmediate(turn)
    else process.send?.(beganNs)
  }
  turn()
}

function tickdServer(): FanOut {
  const rig = new ServeRig({
    ringTicks: TICK_RING_TICKS,
    settings: { frame_ticks: frameTicks, subscriber_buffer_bytes: BUFFER_BYTES_MAX },
  })
  for (let i = 0; i < SYMBOLS; i++) rig.add(`S${i}-USD`)
  rig.agent.onStart()
  return {
    url: rig.feed,
    send: (from, count) => void rig.producer.publish(batch, from, count),
    turn: () => void rig.agent.doWork(),
    close: () => rig.close(),
  }
}

/** The same frames, by the server's own fan-out. */
function bareServer(): FanOut {
  const app = App().ws('/*', {
    maxBackpressure: BUFFER_BYTES_MAX,
    open: (ws) => {
      ws.subscribe('ticks')
      ws.send('{"op":"welcome"}', false)
    },
  })
  let port = 0
  app.listen('127.0.0.1', 0, (token: us_listen_socket | false) => {
    if (token !== false) port = us_socket_local_port(token)
  })
  const frame = new Frame(frameTicks, 1, 1)
  for (let i = 0; i < frameTicks; i++) frame.append(batch.words, (i % PUBLISH_TICKS) * TICK_WORDS)
  let next = 1
  return {
    url: `ws://127.0.0.1:${port}/`,
    send: (_from, count) => {
      for (let done = 0; done < count; done += frameTicks, next += frameTicks) {
        app.publish('ticks', frame.encode(next), true, false)
      }
    },
    turn: () => {},
    close: async () => {
      app.close()
    },
  }
}

function fillBatch(): void {
  for (let i = 0; i < PUBLISH_TICKS; i++) {
    const at = i * TICK_WORDS
    batch.clear(i)
    batch.setKindSide(i, KIND.trade, i % 2 === 0 ? SIDE.buy : SIDE.sell)
    batch.setInstrument(i, 1 + (i % SYMBOLS))
    writeSplit(batch.words, at + WORD.ts_event, false, 1_700_000_000, i)
    writeSplit(batch.words, at + WORD.p0, false, 20_000 + i, 0)
    writeInteger(batch.words, at + WORD.p1, 100_000_000)
    writeInteger(batch.words, at + WORD.p2, i)
  }
  batch.count = PUBLISH_TICKS
}
