import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openJournal } from '../../src/journal/recovery.ts'
import { verifyJournal } from '../../src/journal/verify.ts'
import { emptyShard, readAll } from '../unit/journal/journal-fixture.ts'

const KILLS = 10
const ACKNOWLEDGEMENTS_MAX = 40
const VICTIM = fileURLToPath(new URL('journal-append-loop.ts', import.meta.url))

/** Runs the victim, kills it after `count` acknowledgements. The last sequence acknowledged. */
async function killAfter(count: number, directory: string): Promise<number> {
  const flags = ['--disable-warning=ExperimentalWarning', VICTIM, directory]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  let acknowledged = 0
  let seen = 0
  // What it printed before the kill is acknowledged, whether we had read it by then or not.
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Number(line)
    seen++
    if (seen === count) child.kill('SIGKILL')
  }
  const [, signal] = await exit
  if (signal !== 'SIGKILL') throw new Error(`the victim ended by itself: ${signal}`)
  return acknowledged
}

t.test('nothing acknowledged is lost, whenever the process is killed', async (t) => {
  const directory = emptyShard(t)
  for (let kill = 1; kill <= KILLS; kill++) {
    const count = 1 + Math.floor(Math.random() * ACKNOWLEDGEMENTS_MAX)
    const acknowledged = await killAfter(count, directory)
    const { nextSeq, epoch, truncatedBytes } = openJournal(directory, 0)
    t.ok(nextSeq >= acknowledged, `kill ${kill}: ${acknowledged} of ${nextSeq} acknowledged`)
    t.equal(epoch, 2 * kill, 'each start is an epoch')
    const { count: read, wrong } = readAll(directory, 0, nextSeq)
    t.same({ read, wrong }, { read: nextSeq, wrong: 0 }, `${truncatedBytes} bytes were torn`)
  }
  t.same(verifyJournal(directory).faults, [])
})
