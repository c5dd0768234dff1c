// A pusher that keeps its promise: trades in numbered batches over HTTP, each sent again with the
// same Idempotency-Key until the daemon has acknowledged it, whatever happens to the daemon.

const RETRY_MS = 50
const ANSWER_MS_MAX = 10_000

export interface PusherOptions {
  /** Where the daemon is; asked before each request. */
  readonly address: () => string
  readonly source: string
  readonly batchTrades: number
  readonly symbol?: string
}

/** One trade as normalised JSON. */
export function tradeLine(id: number, symbol = 'AAA-USD'): string {
  const time = new Date().toISOString().replace('Z', '000000Z')
  return (
    `{"type":"trade","venue":"x","symbol":"${symbol}","ts_event":"${time}","id":"${id}",` +
    '"side":"buy","price":"1.5","size":"1"}'
  )
}

export class Pusher {
  /** Trades that were acknowledged: ids 1 … this. */
  acknowledged = 0
  /** Requests that had to be sent again. */
  retries = 0
  readonly #options: PusherOptions
  #isOver = false

  constructor(options: PusherOptions) {
    this.#options = options
  }

  /** Pushes until `stop`, and until the batch at hand is acknowledged. */
  async run(): Promise<void> {
    const { batchTrades, symbol } = this.#options
    for (let batch = 0; !this.#isOver; batch++) {
      const first = batch * batchTrades + 1
      const lines = Array.from({ length: batchTrades }, (_, i) => tradeLine(first + i, symbol))
      await this.#push(`batch-${batch}`, `${lines.join('\n')}\n`)
      this.acknowledged = first + batchTrades - 1
    }
  }

  stop(): void {
    this.#isOver = true
  }

  async #push(key: string, body: string): Promise<void> {
    const { address, source } = this.#options
    for (;;) {
      try {
        const response = await fetch(`${address()}/v1/ticks?source=${source}`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
          body,
          signal: AbortSignal.timeout(ANSWER_MS_MAX),
        })
        const text = await response.text()
        if (response.ok) return
        if (response.status < 500) throw new Error(`${response.status} ${text}`)
      } catch (error) {
        // A refusal is no fault of the way.
        if (error instanceof Error && /^4\d\d /.test(error.message)) throw error
      }
      this.retries++
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}
