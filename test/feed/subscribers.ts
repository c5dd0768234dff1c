// The subscribers that we ship, each asked for some records of a stream: what they print is held
// against what the server sent.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { WebSocket } from 'ws'
import { connect } from '../../client/index.ts'
import { launchChromium, withoutChromium } from '../support/chromium.ts'
import type { Target } from './target.ts'

export type SubscriberRecord = Record<string, unknown> & { seq: number }

export interface ShippedSubscriber {
  readonly name: string
  /** false, or why it cannot be tried here. */
  readonly skip: string | false
  /** `from` is text as the Python example takes it: live, or EPOCH:SEQ. */
  readonly read: (
    target: Target,
    channel: string,
    from: string,
    count: number,
  ) => Promise<SubscriberRecord[]>
}

const PYTHON_TIMEOUT_MS = 30_000
const SCRIPT = fileURLToPath(new URL('../../examples/subscribe.py', import.meta.url))
const execute = promisify(execFile)

/** 'live', or EPOCH:SEQ as the protocol has it. */
export function startOf(from: string): 'live' | { epoch: number; seq: number } {
  const [epoch, seq] = from.split(':').map(Number)
  return seq === undefined || epoch === undefined ? 'live' : { epoch, seq }
}

function clientReader(protocol: 'fb' | 'msgpack' | 'json'): ShippedSubscriber {
  return {
    name: `the Node client, ${protocol}`,
    skip: false,
    read: async ({ url, token }, channel, from, count) => {
      const auth = token === undefined ? {} : { token }
      const feed = connect(url, { WebSocket, protocol, ...auth })
      const records: SubscriberRecord[] = []
      for await (const record of feed.subscribe({ channel, from: startOf(from) })) {
        records.push(record as unknown as SubscriberRecord)
        if (records.length === count) break
      }
      const { undeclared, corrupt } = feed.stats
      feed.close()
      if (undeclared + corrupt > 0) throw new Error(`undeclared ${undeclared}, corrupt ${corrupt}`)
      return records
    },
  }
}

const python: ShippedSubscriber = {
  name: 'the Python example',
  skip: false,
  read: async ({ url, token }, channel, from, count) => {
    const args = [SCRIPT, '--url', url, '--channel', channel, '--from', from, '--count', `${count}`]
    if (token !== undefined) args.push('--token', token)
    const { stdout, stderr } = await execute('python3', args, { timeout: PYTHON_TIMEOUT_MS })
    if (stderr !== '') throw new Error(stderr)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  },
}

const browser: ShippedSubscriber = {
  name: 'the client in Chromium',
  skip: withoutChromium,
  read: async ({ url, token }, channel, from, count) => {
    const chromium = await launchChromium()
    try {
      const page = await chromium.newPage()
      // A page of the daemon's own origin that runs nothing by itself.
      await page.goto(new URL('/healthz', url.replace(/^ws/, 'http')).href)
      // The library as the daemon serves it. Text, since what runs there is not of this program.
      return await page.evaluate<SubscriberRecord[]>(`(async () => {
        const { connect } = await import('/client.js')
        const feed = connect(${JSON.stringify(url)}, ${JSON.stringify({ token })})
        const records = []
        const request = ${JSON.stringify({ channel, from: startOf(from) })}
        for await (const record of feed.subscribe(request)) {
          if (records.push(record) === ${count}) break
        }
        feed.close()
        return records
      })()`)
    } finally {
      await chromium.close()
    }
  },
}

export const SUBSCRIBERS: readonly ShippedSubscriber[] = [
  clientReader('fb'),
  clientReader('msgpack'),
  clientReader('json'),
  python,
  browser,
]
