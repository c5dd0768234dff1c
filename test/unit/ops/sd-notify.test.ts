import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { systemAddon } from '../../../src/native/addon.ts'
import { type Log, silentLog } from '../../../src/ops/log.ts'
import { SdNotify, type SendNotice } from '../../../src/ops/sd-notify.ts'
import { NotifySocket, noNotifySocket } from '../../support/notify-socket.ts'

const skip = noNotifySocket()
const send = systemAddon()?.notify
const skipNative = skip || (send === undefined ? 'the native addon is not built' : false)
const hasTool = spawnSync('systemd-notify', ['--version']).status === 0
const skipTool = skip || (hasTool ? false : 'systemd-notify is not on this machine')

async function socketFor(t: Test, isAbstract = false): Promise<NotifySocket> {
  const socket = await NotifySocket.open(isAbstract)
  t.teardown(() => socket.close())
  return socket
}

/** Goes from ready to stopping, and asserts what systemd heard. */
async function assertHeard(t: Test, socket: NotifySocket, send: SendNotice | undefined) {
  const env = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '30000' }
  // systemd-notify looks for the socket in its own environment.
  const before = process.env.NOTIFY_SOCKET
  process.env.NOTIFY_SOCKET = socket.path
  t.teardown(() => {
    if (before === undefined) delete process.env.NOTIFY_SOCKET
    else process.env.NOTIFY_SOCKET = before
  })
  const systemd = new SdNotify({ env, log: silentLog, send })
  t.equal(systemd.watchdogMs, 30)
  let status = 'running'
  systemd.ready(
    () => true,
    () => status,
  )
  await socket.until((line) => line === 'READY=1|STATUS=running')
  await socket.until((line) => line === 'WATCHDOG=1')
  status = 'decode-0 starting'
  await socket.until((line) => line === 'STATUS=decode-0 starting')
  systemd.stopping(8000)
  const last = await socket.until((line) => line.startsWith('STOPPING=1'))
  t.equal(last, 'STOPPING=1|STATUS=draining|EXTEND_TIMEOUT_USEC=53000000')
}

t.test('systemd hears it through the addon, at a path', { skip: skipNative }, async (t) => {
  await assertHeard(t, await socketFor(t), send)
})

t.test('and at an abstract name', { skip: skipNative }, async (t) => {
  await assertHeard(t, await socketFor(t, true), send)
})

t.test('without the addon it hears it through systemd-notify', { skip: skipTool }, async (t) => {
  await assertHeard(t, await socketFor(t), undefined)
})

t.test('there are signs of life only while all threads move on', async (t) => {
  const said: string[] = []
  const env = { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '3000', WATCHDOG_PID: String(process.pid) }
  const send = (_: string, text: string) => {
    said.push(text)
    return 0
  }
  const systemd = new SdNotify({ env, log: silentLog, send })
  let isHealthy = false
  let looks = 0
  const looked = Promise.withResolvers<void>()
  systemd.ready(
    () => {
      looks++
      if (looks === 5) looked.resolve()
      return isHealthy
    },
    () => 'x',
  )
  await looked.promise
  t.notOk(said.includes('WATCHDOG=1'), 'looked at five times')
  isHealthy = true
  while (!said.includes('WATCHDOG=1')) await new Promise((resolve) => setTimeout(resolve, 1))
  systemd.stopping(0)
  t.equal(said.filter((text) => text.startsWith('STATUS=')).length, 1, 'the status once')
})

t.test('a watchdog of another process is none of ours', async (t) => {
  const env = { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '3000', WATCHDOG_PID: '1' }
  t.equal(new SdNotify({ env, log: silentLog, send: () => 0 }).watchdogMs, 0)
})

t.test('without systemd nothing is sent, and no timer runs', async (t) => {
  const send = () => t.fail('sent') as never
  const systemd = new SdNotify({ env: {}, log: silentLog, send })
  t.equal(systemd.isOn, false)
  systemd.ready(
    () => true,
    () => '',
  )
  systemd.stopping(1)
})

t.test('what cannot be sent is said once', { skip: skipNative }, async (t) => {
  const warnings: object[] = []
  const log: Log = { ...silentLog, warn: (fields) => warnings.push(fields) }
  const env = { NOTIFY_SOCKET: `${t.testdir()}/nobody` }
  const systemd = new SdNotify({ env, log, send })
  systemd.stopping(1)
  systemd.stopping(1)
  t.match(warnings, [{ error: 2 }], 'ENOENT')
})

t.test('the addon refuses what is no path or no text', { skip: skipNative }, async (t) => {
  const notify = send as SendNotice
  t.throws(() => notify(1 as never, 'x'), TypeError)
  t.throws(() => (notify as (path: string) => number)('/x'), TypeError)
  t.not(notify('', 'x'), 0)
  t.not(notify(`/${'x'.repeat(200)}`, 'x'), 0, 'too long for a socket address')
})
