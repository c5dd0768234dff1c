// npm run profile:flame: a thread of the daemon under the e2e load, drawn by 0x.
//
//   npm run profile:flame -- [--thread decode-0] [--seconds 10]
//
// 0x's own sampler follows one isolate, the main thread's, where nothing happens. So the samples
// are taken by the daemon's own hook, of the thread that was asked for, and 0x draws them.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaemonProcess } from '../test/support/daemon.ts'
import { commandLine } from './command-line.ts'
import { LOAD_CONFIG, PROFILES_DIR, startLoad, toolPath } from './profile-session.ts'

const { values } = commandLine('npm run profile:flame -- [--thread decode-0] [--seconds 10]\n', {
  thread: { type: 'string', default: 'decode-0' },
  seconds: { type: 'string', default: '10' },
})
const { thread, seconds } = values
const program = toolPath('0x')
const dir = join(PROFILES_DIR, `flame-${thread}`)
rmSync(dir, { recursive: true, force: true })
mkdirSync(dir, { recursive: true })
const file = join(dir, `${thread}.cpuprofile`)
writeFileSync(file, await takeProfile())
const drawn = spawnSync(
  process.execPath,
  [program, '--visualize-cpu-profile', file, '--output-dir', dir],
  { cwd: dir, stdio: ['ignore', 'inherit', 'inherit'] },
)
if (drawn.status !== 0) throw new Error(`0x ended with ${drawn.status}`)
console.log(`samples: ${file}`)

async function takeProfile(): Promise<string> {
  const daemon = await DaemonProcess.start({ config: LOAD_CONFIG })
  try {
    const load = await startLoad(daemon.listening('push'), daemon.address('feed'))
    try {
      const admin = daemon.lines.find(({ name }) => name === 'admin')?.address
      const query = new URLSearchParams({ thread, seconds })
      const url = `${admin}/debug/profile/cpu?${query}`
      const answer = await fetch(url, { method: 'POST' })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${url}: ${text}`)
      return text
    } finally {
      load.stop()
    }
  } finally {
    await daemon.stop()
  }
}
