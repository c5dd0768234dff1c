// A pusher over TCP, with acknowledgements: batches pipelined on one connection at a time. When it
// is lost, or nothing is acknowledged for long, the next one begins with what is not acknowledged.

import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { type Answer, type Batch, Load } from './load.ts'

const WINDOW = 16
const RETRY_MS = 40
/** Without an acknowledgement for so long a connection is given up. */
const PATIENCE_MS = 5000

interface Line extends Answer {
  readonly op: string
  readonly id?: string
  readonly to_seq?: number | null
}

export class TcpLoad extends Load {
  /** Without acknowledgement, in order. */
  readonly #waiting: Batch[] = []
  #movedMs = 0

  override async run(): Promise<void> {
    while (!this.isOver) {
      await this.#connection()
      await delay(RETRY_MS)
    }
  }

  /** Lives as long as its connection does. */
  async #connection(): Promise<void> {
    const socket = connect({ host: '127.0.0.1', port: this.options.port, noDelay: true })
    let isOpen = true
    const closed = new Promise<void>((resolve) => socket.once('close', resolve))
    void closed.then(() => {
      isOpen = false
    })
    socket.on('error', () => {})
    const welcome = Promise.withResolvers<void>()
    const lines = createInterface({ input: socket })
    // It has the socket's errors as well.
    lines.on('error', () => {})
    lines.on('line', (text) => {
      const line = JSON.parse(text) as Line
      if (line.op === 'welcome') welcome.resolve()
      else this.#onLine(line)
    })
    socket.write('{"op":"hello","acks":true}\n')
    this.#movedMs = performance.now()
    await Promise.race([welcome.promise, closed, delay(PATIENCE_MS, undefined, { ref: false })])
    if (!isOpen) return
    for (const batch of this.#waiting) {
      this.retries++
      this.#send(socket, batch)
    }
    while (isOpen && !this.isOver) {
      if (this.#waiting.length === 0) this.#movedMs = performance.now()
      if (performance.now() - this.#movedMs > PATIENCE_MS) break
      if (this.mayMake && this.#waiting.length < WINDOW) {
        const batch = this.make()
        this.#waiting.push(batch)
        this.#send(socket, batch)
      }
      await this.pace()
    }
    socket.destroy()
  }

  #send(socket: Socket, { id, body }: Batch): void {
    socket.write(`${JSON.stringify({ op: 'batch', id, bytes: body.length })}\n`)
    socket.write(body)
  }

  #onLine(line: Line): void {
    // The daemon ends the connection, and says why: it is to be sent again.
    if (line.op === 'error') return
    const [batch] = this.#waiting
    // Of a connection that was given up.
    if (batch === undefined || batch.id !== line.id) return
    this.#waiting.shift()
    this.#movedMs = performance.now()
    if (line.op !== 'ack') this.options.onViolation(`${batch.id}: ${JSON.stringify(line)}`)
    this.settle(batch, { ...line, lastSeq: line.to_seq ?? null })
  }
}
