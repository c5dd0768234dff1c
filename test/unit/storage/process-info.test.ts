import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { freePort } from '../../../src/storage/free-port.ts'
import { processInfo } from '../../../src/storage/process-info.ts'

t.test('a process is told by its parent and its command line, until it ends', async (t) => {
  const child = spawn('/bin/sh', ['-c', 'read -r line', 'a name (with ) in it'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  await once(child, 'spawn')
  const info = processInfo(child.pid as number)
  t.equal(info?.parentPid, process.pid)
  t.match(info?.command, 'a name (with ) in it')
  child.stdin.end()
  await once(child, 'exit')
  t.equal(processInfo(child.pid as number), undefined)
})

t.test('a preferred port is given when it is free, and another one when it is not', async (t) => {
  const port = await freePort('127.0.0.1')
  t.equal(await freePort('127.0.0.1', port), port)
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve))
  t.not(await freePort('127.0.0.1', port), port)
  holder.close()
})
