// What tests of several serve threads share: which thread has a connection, what each one counts,
// and when a daemon has come to be as it is to be.

import { Agent, request } from 'node:http'
import type { DaemonProcess } from './daemon.ts'
import type { FeedClient } from './feed-client.ts'

const WAIT_MS = 60_000

/** Number of the serve thread that a subscriber is connected to, of `threads`. */
export async function threadOfClient(client: FeedClient, threads: number): Promise<number> {
  const { session } = await client.op('welcome')
  return (Number(String(session).split('-')[1]) - 1) % threads
}

export interface Answered {
  readonly status: number
  readonly body: string
}

/** An HTTP request on a connection of its own: the kernel chooses its thread. */
export function ask(
  daemon: DaemonProcess,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answered> {
  const { method = 'GET', headers = {}, body } = options
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: false })
    const url = new URL(path, daemon.address('http'))
    const asked = request(url, { agent, method, headers, timeout: 10_000 }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', reject)
    asked.end(body)
  })
}

/** A metric of each serve thread, in their order. */
export async function ofThreads(
  daemon: DaemonProcess,
  metric: string,
  threads: number,
): Promise<number[]> {
  const { body } = await ask(daemon, '/metrics')
  return Array.from({ length: threads }, (_, thread) => {
    const role = thread === 0 ? 'serve' : `serve-${thread}`
    const line = body
      .split('\n')
      .find((each) => each.startsWith(`${metric}{`) && each.includes(`role="${role}"`))
    if (line === undefined) throw new Error(`no ${metric} of ${role}`)
    return Number(line.slice(line.lastIndexOf(' ') + 1))
  })
}

/** Until it is so; what it throws meanwhile is passed over. */
export async function eventually(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  let trouble: unknown
  for (;;) {
    const isDone = await isSo().catch((error) => {
      trouble = error
      return false
    })
    if (isDone) return
    if (performance.now() > deadline) throw new Error(`not in time: ${what} (${trouble})`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
