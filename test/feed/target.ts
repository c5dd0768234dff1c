// A daemon at some URL, as the cases of conformance see it.

import { request } from 'node:http'
import { request as requestTls } from 'node:https'
import { type DataFrame, FeedClient, type Message } from '../support/feed-client.ts'

/** What this daemon cannot show: not a failure. */
export class Skip extends Error {}

export interface FeedCase {
  /** Heading of docs/protocol.md. */
  readonly section: string
  readonly name: string
  /** Words of the page's sentences with a MUST that this is about. */
  readonly must?: readonly string[]
  /** Numbers of the closed list that it provokes. */
  readonly errors?: readonly number[]
  /** Only where the daemon demands a key, and one is given. */
  readonly needsKey?: boolean
  readonly run: (target: Target) => Promise<void>
}

export class Target {
  readonly url: string
  readonly token: string | undefined
  readonly #clients: FeedClient[] = []

  constructor(url: string, token?: string) {
    this.url = url
    this.token = token
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
