// A pusher that asks for acknowledgements: sends batches, gathers what is answered.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface Answer {
  op: string
  batch?: number
  id?: string
  epoch?: number
  shard?: number
  from_seq?: number | null
  to_seq?: number | null
  accepted?: number
  duplicate?: number
  rejected?: number
  repeated?: number
  code?: string
  batch_bytes_max?: number
}

export class AckClient {
  readonly answers: Answer[] = []
  readonly socket: Socket
  #isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
    })
    const lines = createInterface({ input: socket })
    lines.on('line', (line) => this.answers.push(JSON.parse(line)))
    // It passes on its input's.
    lines.on('error', () => {})
  }

  /** Connects and says hello. */
  static async open(address: { host: string; port: number }): Promise<AckClient> {
    const socket = connect({ ...address, noDelay: true })
    await once(socket, 'connect')
    const client = new AckClient(socket)
    socket.write('{"op":"hello","acks":true}\n')
    return client
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get acks(): Answer[] {
    return this.answers.filter(({ op }) => op === 'ack')
  }

  /** Sends a batch; false when the socket would rather have it wait. */
  batch(id: string | undefined, body: string | Uint8Array): boolean {
    const bytes = Buffer.from(body)
    const line = Buffer.from(`${JSON.stringify({ op: 'batch', id, bytes: bytes.length })}\n`)
    return this.socket.write(Buffer.concat([line, bytes]))
  }

  /** Resolves once `test` holds of the answers; throws after `timeoutMs`. */
  async until(test: (client: AckClient) => boolean, timeoutMs = 30_000): Promise<void> {
    const endMs = performance.now() + timeoutMs
    while (!test(this)) {
      if (performance.now() > endMs) {
        throw new Error(`not in time; last answers: ${JSON.stringify(this.answers.slice(-3))}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  close(): void {
    this.socket.destroy()
  }
}
