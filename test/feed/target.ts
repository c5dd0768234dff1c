// A daemon at some URL, as the cases of conformance see it.

import { request } from 'node:http'
import { request as requestTls } from 'node:https'
import { type DataFrame, FeedClient, type Message } from '../support/feed-client.ts'

/** What this daemon cannot show: not a failure. */
export class Skip extends Error {}

/** What a daemon must be like for some cases. */
export const NEEDS = {
  key: 'it demands a key, and one is given (--token)',
  narrow: 'a key with few rights: not all symbols, few subscriptions (--narrow-token)',
  crowd: 'more instruments than an image may have within buffer_bytes',
  cut: 'the beginning of its epoch is no longer kept anywhere',
  away: 'the beginning of its epoch is kept by PostgreSQL alone, and that does not answer',
  damage: 'the beginning of its epoch is damaged',
  reader: 'a small buffer, and records enough to fill it: a reader falls behind within seconds',
  alone: 'nobody else needs it: it takes all there is',
  single: 'one thread serves (serve.threads)',
  end: 'it is stopped while the case runs',
} as const
export type Need = keyof typeof NEEDS

export interface FeedCase {
  /** Heading of docs/protocol.md. */
  readonly section: string
  readonly name: string
  /** Words of the page's sentences with a MUST that this is about. */
  readonly must?: readonly string[]
  /** Numbers of the closed list that it provokes. */
  readonly errors?: readonly number[]
  /** Close codes that it provokes. */
  readonly closes?: readonly number[]
  /** What the daemon must be like, where any will not do. */
  readonly needs?: Need
  readonly run: (target: Target) => Promise<void>
}

export class Target {
  readonly url: string
  readonly token: string | undefined
  readonly #end: (() => Promise<unknown>) | undefined
  readonly #clients: FeedClient[] = []

  /** `end` stops the daemon. */
  constructor(url: string, token?: string, end?: () => Promise<unknown>) {
    this.url = url
    this.token = token
    this.#end = end
  }

  /** Stops the daemon, as its operator would. */
  async end(): Promise<void> {
    if (this.#end === undefined) throw new Skip('stop it by hand, and see the close')
    await this.#end()
  }

  /** Connects, with the key where there is one. */
  async open(...protocols: string[]): Promise<FeedClient> {
    const client = await this.knock(...protocols)
    const { op } = await client.control(({ op }) => op === 'welcome' || op === 'auth_required')
    if (op === 'auth_required') client.send({ op: 'auth', token: this.token })
    return client
  }

  /** Connects, and says nothing. */
  async knock(...protocols: string[]): Promise<FeedClient> {
    const client = await FeedClient.open(this.url, ...protocols)
    this.#clients.push(client)
    return client
  }

  /** Ends what the case opened. */
  close(): void {
    for (const client of this.#clients.splice(0)) client.close()
  }
}

/** The first control message, past or to come, that passes the test; leaves it where it is. */
export function control(client: FeedClient, test: (message: Message) => boolean): Promise<Message> {
  return client.control(test)
}

export async function firstFrames(
  client: FeedClient,
  stream: number,
  count: number,
): Promise<DataFrame[]> {
  const frames = () => client.frames.filter((frame) => frame.stream === stream)
  await client.until(() => frames().length >= count, `${count} frames of stream ${stream}`)
  return frames().slice(0, count)
}

export async function closeOf(client: FeedClient): Promise<{ code: number; reason: string }> {
  await client.until(() => client.closed !== undefined, 'the close')
  return client.closed as { code: number; reason: string }
}

/** The HTTP status of an upgrade that offers these sub-protocols. */
export function upgradeStatus(
  { url, token }: Target,
  protocols: readonly string[],
): Promise<number> {
  const send = url.startsWith('wss') ? requestTls : request
  return new Promise((resolve, reject) => {
    const sent = send(url.replace(/^ws/, 'http'), {
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-protocol': protocols.join(', '),
      },
    })
    const answered = (response: { statusCode?: number | undefined }) => {
      resolve(response.statusCode ?? 0)
      sent.destroy()
    }
    sent.on('response', answered)
    sent.on('upgrade', answered)
    sent.on('error', reject)
    sent.end()
  })
}
