// A pusher over HTTP: one body after the other, each with an Idempotency-Key and sent again with it
// until it is answered.

import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { type Answer, type Batch, Load } from './load.ts'

const RETRY_MS = 40
const ANSWER_MS_MAX = 5000
const HTTP_OK = 200
const HTTP_BAD_REQUEST = 400
const HTTP_SERVER_ERROR = 500

interface Body extends Answer {
  readonly last_seq?: number | null
}

export class HttpLoad extends Load {
  readonly #agent = new Agent({ connections: 1 })

  override async run(): Promise<void> {
    while (!this.isOver) {
      if (this.mayMake) await this.#push(this.make())
      await this.pace()
    }
    await this.#agent.destroy()
  }

  async #push(batch: Batch): Promise<void> {
    for (let attempt = 0; !this.isOver; attempt++) {
      if (attempt > 0) {
        this.retries++
        await delay(RETRY_MS)
      }
      const answer = await this.#post(batch).catch(() => undefined)
      if (answer === undefined) continue
      const { status, text } = answer
      if (status === HTTP_OK) {
        const body = JSON.parse(text) as Body
        this.settle(batch, { ...body, lastSeq: body.last_seq ?? null })
        return
      }
      if (status >= HTTP_BAD_REQUEST && status < HTTP_SERVER_ERROR) {
        this.options.onViolation(`${batch.id}: ${status} ${text}`)
        return
      }
    }
  }

  async #post({ id, body }: Batch): Promise<{ status: number; text: string }> {
    const response = await request(`http://127.0.0.1:${this.options.port}/v1/ticks`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': id },
      body,
      dispatcher: this.#agent,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    return { status: response.statusCode, text: await response.body.text() }
  }
}
