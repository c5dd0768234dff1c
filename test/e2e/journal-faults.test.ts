// The real daemon on a journal that was damaged while it was down, and on a disk with no room.

import { rmSync } from 'node:fs'
import t from 'tap'
import { SystemClock } from '../../src/clock.ts'
import { segmentPath, shardDirectory } from '../../src/journal/segment-files.ts'
import { statJournal } from '../../src/journal/stat.ts'
import { JournalWriter } from '../../src/journal/writer.ts'
import { TickBatch } from '../../src/tick/batch.ts'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { damage } from '../support/faulty-disk.ts'
import { putRecord } from '../support/store-bench.ts'

const BLOCK_BYTES = 64 * 101
const OFF = {
  postgres: { mode: 'off' },
  redis: { mode: 'off' },
  sources: [{ name: 's', type: 'synthetic', rate: 1000 }],
}

interface Ready {
  status: number
  dependencies: Record<string, { ready: boolean; detail: string }>
}

async function readyz(daemon: DaemonProcess): Promise<Ready> {
  const response = await fetch(`${daemon.address('http')}/readyz`)
  return { ...((await response.json()) as Ready), status: response.status }
}

/** Five blocks of a hundred records, each durable. */
function appendAndDie(directory: string, nextSeq: number): void {
  const writer = new JournalWriter({
    directory,
    shard: 0,
    epoch: 1,
    nextSeq,
    segmentBytes: 2 ** 20,
    clock: new SystemClock(),
    onSealed: () => {},
  })
  const batch = new TickBatch(100)
  for (let block = 0; block < 5; block++) {
    for (let i = 0; i < 100; i++) putRecord(batch, i, writer.nextSeq + i)
    writer.append(batch.bytes, 0, 100)
    writer.sync()
  }
  writer.abandon()
}

t.setTimeout(300_000)

t.test('a damaged block in the newest segment costs its records, not the start', async (t) => {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const directory = shardDirectory(stateDir, 0)
  const first = await DaemonProcess.start({ stateDir, config: OFF })
  await first.stop()
  // A segment as a kill leaves it, behind those of the daemon, with one of its blocks damaged.
  const beganSeq = statJournal(directory).nextSeq
  t.ok(beganSeq > 0, 'the daemon left a journal')
  appendAndDie(directory, beganSeq)
  damage(segmentPath(directory, beganSeq), 'flip', 64 + 2 * BLOCK_BYTES + 300)
  const second = await DaemonProcess.start({ stateDir, config: OFF })
  t.teardown(() => second.stop())
  const told = second.lines.find(({ kind }) => kind === 'journal_damaged')
  t.match(told, { evidence: { shard: 0, fromSeq: beganSeq + 200, toSeq: beganSeq + 300 } })
  t.match(second.lines.find(({ msg }) => msg === 'journal open')?.nextSeq, beganSeq + 500)
  t.equal((await readyz(second)).status, 200)
})

t.test('a file system with less room than the reserve: not ready, and says why', async (t) => {
  const config = { ...OFF, drain_ms: 500, journal: { free_bytes_min: 2 ** 49 } }
  const daemon = await DaemonProcess.start({ config })
  t.teardown(() => daemon.stop())
  await daemon.waitFor(({ kind }) => kind === 'journal_held')
  const { status, dependencies } = await readyz(daemon)
  t.equal(status, 503)
  t.match(dependencies['journal-0'], { ready: false, detail: /budget/ })
})
