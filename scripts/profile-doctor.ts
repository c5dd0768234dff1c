// npm run profile:doctor: the daemon under the e2e load, watched by clinic doctor.
//
//   npm run profile:doctor -- [--seconds 20]
//
// Doctor sees the process (processor, memory, handles) and the event loop of the main thread. The
// other threads' are in the metrics: tickd_thread_utilization.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'
import { makeStateDir } from '../test/support/daemon.ts'
import { commandLine } from './command-line.ts'
import { LOAD_CONFIG, PROFILES_DIR, startLoad, toolPath } from './profile-session.ts'

const { values } = commandLine('npm run profile:doctor -- [--seconds 20]\n', {
  seconds: { type: 'string', default: '20' },
})
const clinic = toolPath('clinic')
const dir = join(PROFILES_DIR, 'doctor')
const stateDir = makeStateDir()
rmSync(dir, { recursive: true, force: true })
mkdirSync(dir, { recursive: true })
const listen = { listen: { port: 0 } }
const config = { ...LOAD_CONFIG, state_dir: stateDir, serve: listen, admin: listen }
const configFile = join(dir, 'config.yaml')
writeFileSync(configFile, stringify({ ...config, log: { format: 'json' } }))

const main = resolve(import.meta.dirname, '../src/main.ts')
const daemon = [process.execPath, '--disable-warning=ExperimentalWarning', main, 'run']
const child = spawn(
  process.execPath,
  [clinic, 'doctor', '--dest', dir, '--open=false', '--', ...daemon, '--config', configFile],
  // It would ask for leave to send statistics about its use.
  { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NO_INSIGHT: '1' } },
)
const exited = once(child, 'exit')
const ready = Promise.withResolvers<{ push: string; feed: string }>()
let push = ''
createInterface(child.stdout).on('line', (line) => {
  const fields = line.startsWith('{') ? JSON.parse(line) : { msg: line }
  if (fields.msg === 'listening' && fields.name === 'push') push = fields.address
  if (fields.msg === 'ready') ready.resolve({ push, feed: fields.feed })
  if (!line.startsWith('{')) console.log(line)
})
const died = exited.then(([code]) => Promise.reject(new Error(`clinic ended with ${code}`)))
died.catch(() => {})
try {
  const { push: address, feed } = await Promise.race([ready.promise, died])
  const [host = '', port = ''] = address.split(/:(?=\d+$)/)
  const load = await startLoad({ host, port: Number(port) }, feed)
  await new Promise((resolve) => setTimeout(resolve, Number(values.seconds) * 1000))
  load.stop()
  // clinic passes it on to the daemon, waits for its end, and draws.
  child.kill('SIGINT')
  await exited
} finally {
  rmSync(stateDir, { recursive: true, force: true })
}
