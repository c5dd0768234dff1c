// {"op":"auth","id"?,"token"}: the one message of a connection that has no pass yet.

import type { ControlId } from '../feed/control.ts'

export interface AuthMessage {
  readonly id: ControlId
  readonly token: string
}

const decoder = new TextDecoder()
const WORD = Buffer.from('"auth"')
const ID_LENGTH_MAX = 128

/** False = it is certainly none; nothing is parsed. */
export function mayBeAuth(data: Uint8Array): boolean {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).includes(WORD)
}

/** undefined = it is another message, or none. */
export function readAuth(data: Uint8Array): AuthMessage | undefined {
  let message: unknown
  try {
    message = JSON.parse(decoder.decode(data))
  } catch {
    return undefined
  }
  if (typeof message !== 'object' || message === null) return undefined
  const { op, id, token } = message as Record<string, unknown>
  if (op !== 'auth' || typeof token !== 'string') return undefined
  const isId = typeof id === 'number' || (typeof id === 'string' && id.length <= ID_LENGTH_MAX)
  return { id: isId ? id : undefined, token }
}
