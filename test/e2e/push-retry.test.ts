// What `tickd generate --to http://…` sends to a daemon that is killed meanwhile is stored once.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { statJournal } from '../../src/journal/stat.ts'
import { freePort } from '../../src/storage/free-port.ts'
import { journalDirectory } from '../../src/threads/open-shard.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { removeAtExit } from '../support/removed-at-exit.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const LINES = 150_000
const KILLS = 3

function start(stateDir: string, port: number): Promise<DaemonProcess> {
  return DaemonProcess.start({
    stateDir,
    config: {
      serve: { listen: { port } },
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
      sources: [{ name: 'push', type: 'http' }],
    },
  })
}

/** Runs `generate` to its end. */
function generate(url: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = ['generate', '--mode', 'historical', '--count', String(LINES), '--json']
  const args = ['--disable-warning=ExperimentalWarning', MAIN, ...command, '--to', url]
  return new Promise((resolve) => {
    execFile(process.execPath, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

t.test('a daemon that is killed while it is pushed to has each line once', async (t) => {
  const stateDir = makeStateDir()
  removeAtExit(stateDir)
  const port = await freePort('127.0.0.1')
  let daemon = await start(stateDir, port)
  t.teardown(() => daemon.kill())
  const stored = () => statJournal(journalDirectory(join(stateDir, 'journal'), 0)).recordCount
  let isOver = false
  const sent = generate(`http://127.0.0.1:${port}`).finally(() => {
    isOver = true
  })
  for (let kill = 1; kill <= KILLS && !isOver; kill++) {
    const enough = (LINES * kill) / (KILLS + 2)
    while (!isOver && stored() < enough) await new Promise((resolve) => setTimeout(resolve, 5))
    await daemon.kill()
    daemon = await start(stateDir, port)
  }
  const { code, stdout, stderr } = await sent
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { lines: LINES, accepted: LINES, duplicate: 0, rejected: 0 })
  await daemon.stop()
  t.equal(stored(), LINES)
})
