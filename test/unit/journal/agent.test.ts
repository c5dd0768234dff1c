import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { shardDirectory } from '../../../src/journal/segment-files.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { IDLE_MS_MAX } from '../../../src/threads/agent.ts'
import { AgentRig, RING_TICKS } from './agent-fixture.ts'
import { emptyShard, readAll } from './journal-fixture.ts'

const noHurry = { sync_interval_ms: 1000, sync_bytes: 2 ** 20 }

function drained(rig: AgentRig): void {
  for (let turn = 0; turn < 1000; turn++) {
    rig.agent.doWork()
    if (rig.agent.drain()) return
    rig.clock.advance(10)
  }
  throw new Error('the agent does not drain')
}

t.test('records are durable after the interval, not before, and wait on the ring', async (t) => {
  const rig = new AgentRig(emptyShard(t), noHurry)
  rig.publish(10)
  t.equal(rig.agent.doWork(), 10)
  t.equal(rig.position('written').load(), 10)
  t.equal(rig.position('durable').load(), 0, 'appended is not durable')
  t.equal(rig.producer.available(), RING_TICKS - 10, 'and the ring keeps it')
  rig.clock.advance(400)
  rig.publish(5)
  t.equal(rig.agent.doWork(), 5)
  t.equal(rig.agent.idleMsMax(), IDLE_MS_MAX)
  rig.clock.advance(599)
  t.equal(rig.agent.doWork(), 0)
  t.equal(rig.agent.idleMsMax(), 1, 'the runner must not sleep longer')
  rig.clock.advance(1)
  t.ok(rig.agent.doWork() > 0, 'the interval counts from the first record')
  t.equal(rig.position('durable').load(), 15)
  t.equal(rig.producer.available(), RING_TICKS)
  t.equal(rig.counters.get('syncs'), 1, 'one fsync for both batches')
  t.equal(rig.agent.doWork(), 0)
  t.equal(rig.agent.idleMsMax(), IDLE_MS_MAX)
})

t.test('records gather until the fsync is due, unless the ring fills', async (t) => {
  const rig = new AgentRig(emptyShard(t), { ...noHurry, sync_interval_ms: 5 })
  t.equal(rig.agent.napMs(), 0, 'the first record is to be seen at once')
  rig.publish(10)
  rig.agent.doWork()
  t.equal(rig.agent.napMs(), 5)
  rig.clock.advance(2)
  rig.publish(RING_TICKS / 16)
  t.equal(rig.agent.napMs(), 3)
  rig.publish(RING_TICKS / 8)
  t.equal(rig.agent.napMs(), 0)
  rig.agent.doWork()
  rig.clock.advance(3)
  rig.agent.doWork()
  t.equal(rig.position('durable').load(), 10 + (RING_TICKS * 3) / 16)
  t.equal(rig.agent.napMs(), 0, 'nothing waits')
})

t.test('an interval of 0 makes each batch durable at once', async (t) => {
  const rig = new AgentRig(emptyShard(t), { sync_interval_ms: 0 })
  for (let i = 1; i <= 3; i++) {
    rig.publish(7)
    rig.agent.doWork()
    t.equal(rig.position('durable').load(), 7 * i)
  }
  t.equal(rig.counters.get('syncs'), 3)
})

t.test(
  'many bytes are made durable before the interval, at half a ring at the latest',
  async (t) => {
    const few = new AgentRig(emptyShard(t), { ...noHurry, sync_bytes: 64 * 1024 })
    few.publish(1000)
    few.agent.doWork()
    t.equal(few.position('durable').load(), 0)
    few.publish(100)
    few.agent.doWork()
    t.equal(few.position('durable').load(), 1100)

    const rig = new AgentRig(emptyShard(t), { ...noHurry, sync_bytes: 2 ** 28 })
    rig.publish(RING_TICKS / 2)
    rig.agent.doWork()
    t.equal(rig.position('durable').load(), RING_TICKS / 2)
  },
)

t.test(
  'everything published is read back, over many rounds of the ring and segments',
  async (t) => {
    const directory = emptyShard(t)
    const rig = new AgentRig(directory, { segment_bytes: 256 * 1024, block_ticks: 700 })
    let published = 0
    for (let turn = 0; published < 60_000; turn++) {
      if (turn > 1000) throw new Error(`stuck at ${published}: the ring is not given back`)
      if (rig.publish(1 + ((turn * 997) % 5000))) published = rig.producer.seq
      rig.agent.doWork()
      rig.clock.advance(1)
    }
    drained(rig)
    rig.agent.onClose()
    t.equal(rig.position('durable').load(), published)
    const { count, wrong } = readAll(directory, 0, published)
    t.same({ count, wrong }, { count: published, wrong: 0 })
    const report = verifyJournal(directory)
    t.same([report.faults, report.tailBytes, report.recordCount], [[], 0, published])
    t.equal(rig.counters.get('records'), published)
    t.equal(rig.counters.get('blocks'), report.blockCount)
    t.ok(report.segmentCount > 10)
  },
)

t.test('drain makes the rest durable without waiting for the interval', async (t) => {
  const rig = new AgentRig(emptyShard(t), noHurry)
  rig.publish(RING_TICKS)
  drained(rig)
  t.equal(rig.position('durable').load(), RING_TICKS)
  rig.agent.onClose()
  t.match(rig.opened, { nextSeq: 0, epoch: 1, oldestSeq: 0, truncatedBytes: 0 })
  const next = new AgentRig(rig.directory)
  t.match(next.opened, { nextSeq: RING_TICKS, epoch: 2, oldestSeq: 0, truncatedBytes: 0 })
})

t.test('an agent that failed leaves nothing lost and nothing twice', async (t) => {
  const directory = emptyShard(t)
  const rig = new AgentRig(directory, { ...noHurry, segment_bytes: 64 * 1024 })
  rig.publish(100)
  rig.agent.doWork()
  rig.restart()
  t.equal(rig.position('written').load(), 0, 'what was only appended is taken back')
  rig.publish(50)
  rig.agent.doWork()
  rig.clock.advance(1000)
  rig.agent.doWork()
  t.equal(rig.position('durable').load(), 150)
  // Rolls to other segments in the middle of a duty cycle, and fails before the next fsync.
  for (let round = 0; round < 3; round++) {
    rig.publish(3000)
    rig.agent.doWork()
    rig.restart()
  }
  drained(rig)
  rig.agent.onClose()
  const { count, wrong } = readAll(directory, 0, rig.producer.seq)
  t.same({ count, wrong }, { count: 9150, wrong: 0 })
  t.same(verifyJournal(directory).faults, [])
})

t.test('an agent that failed between fsync and ring goes on behind what is durable', async (t) => {
  const rig = new AgentRig(emptyShard(t), noHurry)
  rig.publish(100)
  rig.agent.doWork()
  // As if `durable` had been stored and the ring cursor not.
  rig.agent.onClose()
  rig.position('durable').store(100)
  rig.restart()
  t.equal(rig.producer.available(), RING_TICKS)
  rig.publish(20)
  drained(rig)
  t.same(readAll(rig.directory, 0, 120), { count: 120, epochs: [1], wrong: 0 })
})

t.test('after a failed fsync nothing counts as durable, and nothing is lost', async (t) => {
  const rig = new AgentRig(emptyShard(t), noHurry)
  rig.publish(100)
  rig.agent.doWork()
  const fd = openDescriptor(rig.directory)
  if (fd === undefined) {
    t.comment('left out: there is no /proc/self/fd here')
    return
  }
  closeSync(fd)
  t.throws(() => rig.agent.drain(), {
    code: 'JOURNAL_IO',
    message: 'cannot fsync',
    canRetry: false,
  })
  t.throws(() => rig.agent.drain(), { code: 'JOURNAL_IO' }, 'a second try does not make it good')
  t.equal(rig.position('durable').load(), 0)
  t.equal(rig.producer.available(), RING_TICKS - 100)
  rig.restart()
  drained(rig)
  t.same(readAll(rig.directory, 0, 100), { count: 100, epochs: [1], wrong: 0 })
})

t.test('segments go one at a time, when stored, and never the newest closed one', async (t) => {
  const rig = new AgentRig(emptyShard(t), {
    sync_interval_ms: 0,
    segment_bytes: 64 * 1024,
    retain_bytes: 1,
    block_ticks: 100,
  })
  rig.publish(5000)
  for (let i = 0; i < 5; i++) {
    rig.agent.doWork()
    rig.clock.advance(1000)
  }
  const segments = rig.counters.get('segments')
  t.ok(segments >= 5)
  t.equal(rig.position('oldest').load(), 0, 'nothing is stored yet')
  rig.storedSeq = 5000
  rig.agent.doWork()
  t.equal(rig.counters.get('segments_removed'), 1)
  for (let i = 0; i < 20; i++) {
    rig.clock.advance(1000)
    rig.agent.doWork()
  }
  t.equal(rig.counters.get('segments'), 2, 'the open one and the newest closed one')
  const oldest = rig.position('oldest').load()
  t.equal(readAll(rig.directory, oldest, 5000).wrong, 0)
  t.equal(new AgentRig(rig.directory).opened.oldestSeq, oldest)
})

t.test('a full disk holds ingest back, says so, and the journal goes on after', async (t) => {
  const state = mountSmallDisk(t)
  if (state === undefined) return
  const directory = shardDirectory(state, 0)
  mkdirSync(directory, { recursive: true })
  const rig = new AgentRig(directory, { sync_interval_ms: 0, segment_bytes: 256 * 1024 })
  const filler = join(state, 'filler')
  writeFileSync(filler, Buffer.alloc(2 * 1024 * 1024))
  holdAndRelease(t, rig, () => unlinkSync(filler))
})

t.test('a file size limit does as a full disk does', async (t) => {
  const rig = new AgentRig(emptyShard(t), { sync_interval_ms: 0 })
  const limit = (bytes: number | 'unlimited') =>
    spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]).status === 0
  if (!limit(700 * 1024)) {
    t.comment('left out: prlimit cannot limit this process')
    return
  }
  t.teardown(() => limit('unlimited'))
  holdAndRelease(t, rig, () => limit('unlimited'))
})

/** Publishes until the disk refuses, makes room, and checks that nothing was lost or torn. */
function holdAndRelease(t: Test, rig: AgentRig, makeRoom: () => void): void {
  const turn = () => {
    rig.publish(1500)
    rig.agent.doWork()
    rig.clock.advance(100)
  }
  for (let i = 0; i < 100 && rig.counters.get('holding') === 0; i++) turn()
  t.equal(rig.counters.get('holding'), 1, 'it holds')
  for (let i = 0; i < 150; i++) turn()
  t.equal(rig.publish(1500), false, 'the ring is full: the producer is held back')
  t.equal(rig.counters.get('holds'), 1)
  t.equal(rig.logged.filter((line) => line.startsWith('the journal cannot grow')).length, 2)
  const durable = rig.position('durable').load()
  t.equal(rig.position('written').load(), durable, 'what went in before is durable')
  t.same(verifyJournal(rig.directory).tailBytes, 0, 'and no part of a block is left behind')
  makeRoom()
  turn()
  drained(rig)
  rig.agent.onClose()
  t.equal(rig.counters.get('holding'), 0)
  t.match(rig.logged.at(-1), 'goes on')
  const { count, wrong } = readAll(rig.directory, 0, rig.producer.seq)
  t.same({ count, wrong }, { count: rig.producer.seq, wrong: 0 })
  t.ok(rig.producer.seq > durable)
}

/** The file descriptor under which this process has a segment of `directory` open. */
function openDescriptor(directory: string): number | undefined {
  if (!existsSync('/proc/self/fd')) return undefined
  for (const fd of readdirSync('/proc/self/fd')) {
    const link = `/proc/self/fd/${fd}`
    if (existsSync(link) && readlinkSync(link).startsWith(directory)) return Number(fd)
  }
  return undefined
}

/** A disk of 4 MiB, where we may mount one. */
function mountSmallDisk(t: Test): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-small-disk-'))
  t.teardown(() => {
    // Lazily: a failed test may have left a file open.
    spawnSync('umount', ['-l', directory])
    rmSync(directory, { recursive: true, force: true })
  })
  const arguments_ = ['-t', 'tmpfs', '-o', 'size=4m', 'tickd-test', directory]
  if (spawnSync('mount', arguments_).status !== 0) {
    t.comment('left out: a small tmpfs cannot be mounted here (it takes root)')
    return undefined
  }
  return directory
}
