// The socket below a feed: the platform's WebSocket, or one like it, as far as it is used.

import { FeedError } from './messages.ts'

export type SocketConstructor = new (url: string, protocols?: string[]) => unknown

/** What is used of a WebSocket. `pause` and `resume` are there with the package `ws`. */
export interface Socket {
  binaryType: string
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: (() => void) | null
  send(text: string): void
  close(code?: number): void
  pause?(): void
  resume?(): void
}

export function platformSocket(): SocketConstructor {
  const { WebSocket } = globalThis as { WebSocket?: SocketConstructor }
  if (WebSocket !== undefined) return WebSocket
  throw new FeedError('no_websocket', 'no WebSocket here: give that of `ws` as options.WebSocket')
}
