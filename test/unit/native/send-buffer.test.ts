// The addon's setSendBuffer, by what a socket then takes that nobody reads.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemAddon } from '../../../src/native/addon.ts'

const KIB = 1024
const addon = systemAddon()
const skip = addon === undefined ? 'the native addon is not built' : false

/** Bytes that a unix socket with a buffer of that size takes before it keeps the rest to itself. */
async function takenBytes(directory: string, bufferBytes: number): Promise<number> {
  const path = join(directory, `socket-${bufferBytes}`)
  const server = createServer({ pauseOnConnect: true }).listen(path)
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = connect(path)
  await once(socket, 'connect')
  const [other] = await accepted
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  t.equal(addon?.setSendBuffer(fd, bufferBytes), 0)
  const pieceBytes = 4 * KIB
  let taken = 0
  while (socket.write(Buffer.alloc(pieceBytes)) || socket.writableLength === 0) taken += pieceBytes
  socket.destroy()
  other.destroy()
  server.close()
  await once(server, 'close')
  return taken
}

t.test('a socket takes as much as it is told to', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-send-buffer-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const little = await takenBytes(directory, 16 * KIB)
  const more = await takenBytes(directory, 160 * KIB)
  t.ok(more >= 2 * little, `${more} bytes after 160 KiB, ${little} after 16`)
})

t.test('what is no socket is refused', { skip }, async (t) => {
  t.equal(addon?.setSendBuffer(1 << 20, KIB), constants.errno.EBADF)
  t.throws(() => addon?.setSendBuffer('socket' as unknown as number, KIB), TypeError)
})
