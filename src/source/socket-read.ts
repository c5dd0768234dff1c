// Reading an accepted socket into one buffer that is used again and again.
//
// A server's sockets allocate a buffer for each read: at full rate that is gigabytes of external
// memory, and the collections it asks for stop the thread for milliseconds. `net` takes a caller's
// buffer (`onread`) for sockets that the caller makes, not for those that a server makes; so the
// accepted socket's handle moves to a socket of our own making. `_handle` is not documented; it has
// been the way of node's own code since 2010, and the tests of TCP push would see it go.

import { Socket } from 'node:net'

interface Handled {
  _handle: object | null
}

/**
 * Takes over `accepted` (from a server with pauseOnConnect). `onData` gets the count of bytes at
 * the start of `buffer`, valid during the call. The returned socket pauses, resumes, ends and
 * closes as any other; it emits no 'data'.
 */
export function readInto(
  accepted: Socket,
  buffer: Uint8Array,
  onData: (count: number) => void,
): Socket {
  const handled = accepted as unknown as Handled
  const handle = handled._handle
  handled._handle = null
  const onread = {
    buffer,
    callback: (count: number) => {
      onData(count)
      return true
    },
  }
  // Half-open, so that who has sent all and said so still gets its acknowledgements.
  const options = { handle, readable: true, writable: true, allowHalfOpen: true, onread }
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0])
  // The server counts its open sockets by those it made.
  socket.once('close', () => accepted.destroy())
  socket.resume()
  return socket
}
