// The journal on a disk that fails: what was durable is there after any loss of power, what was not
// is appended again, and nothing is there twice.

import t, { type Test } from 'tap'
import { openJournal } from '../../../src/journal/recovery.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { JournalWriter } from '../../../src/journal/writer.ts'
import { TICK_BYTES } from '../../../src/tick/layout.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import { AgentRig, type JournalSettings } from './agent-fixture.ts'
import { emptyShard, putTicks, readAll } from './journal-fixture.ts'

const eager = { sync_interval_ms: 0, segment_bytes: 64 * 1024 }

function newRig(t: Test, settings: Partial<JournalSettings> = eager) {
  const disk = new FaultyDisk()
  return { disk, rig: new AgentRig(emptyShard(t), settings, disk) }
}

function turn(rig: AgentRig, ticks = 0, ms = 300): void {
  if (ticks > 0) rig.publish(ticks)
  rig.agent.doWork()
  rig.clock.advance(ms)
}

function drained(rig: AgentRig): void {
  for (let n = 0; n < 1000; n++) {
    rig.agent.doWork()
    if (rig.agent.drain()) return
    rig.clock.advance(10)
  }
  throw new Error('the agent does not drain')
}

/** Power fails; then everything that was durable is there, whole, and goes on. */
function losePower(t: Test, rig: AgentRig, disk: FaultyDisk): void {
  const durable = rig.position('durable').load()
  rig.agent.onClose()
  disk.mend()
  disk.crash()
  const { nextSeq } = openJournal(rig.directory, 0, disk)
  t.ok(nextSeq >= durable, `${nextSeq} records are there, ${durable} were durable`)
  const { count, wrong } = readAll(rig.directory, 0, nextSeq)
  t.same({ count, wrong }, { count: nextSeq, wrong: 0 })
  t.same(verifyJournal(rig.directory).faults, [])
}

t.test('a failed fsync ends the agent; the next one appends again, in a new segment', async (t) => {
  const { disk, rig } = newRig(t)
  turn(rig, 100)
  disk.fail('syncData', 'EIO')
  rig.publish(50)
  t.throws(() => rig.agent.doWork(), { code: 'JOURNAL_IO', canRetry: false })
  t.equal(rig.position('durable').load(), 100, 'nobody is told that they are durable')
  t.equal(rig.counters.get('sync_failures'), 1)
  t.throws(() => rig.agent.doWork(), { code: 'JOURNAL_IO' }, 'nor is it tried again')
  rig.restart()
  turn(rig)
  t.equal(rig.position('durable').load(), 150)
  t.same(
    disk
      .list(rig.directory)
      .filter((name) => name.endsWith('.seg'))
      .sort(),
    ['000000000000000.seg', '000000000000100.seg'],
    'the file that failed ends where it was durable',
  )
  losePower(t, rig, disk)
})

t.test('a failed fsync of a seal leaves no segment that only looks closed', async (t) => {
  const { disk, rig } = newRig(t, { ...eager, sync_interval_ms: 1000 })
  turn(rig, 900, 1000)
  turn(rig)
  t.equal(rig.position('durable').load(), 900)
  // Rolling: all is durable, so the next fsync is that of the seal.
  disk.fail('syncData', 'EIO')
  rig.publish(900)
  t.throws(() => rig.agent.doWork(), { code: 'JOURNAL_IO' })
  rig.restart()
  turn(rig, 0, 1000)
  turn(rig)
  t.equal(rig.position('durable').load(), 1800)
  losePower(t, rig, disk)
})

t.test('what a failed fsync left in memory is written anew before it counts', async (t) => {
  const { disk, rig } = newRig(t)
  turn(rig, 100)
  disk.fail('syncData', 'EIO')
  rig.publish(500)
  t.throws(() => rig.agent.doWork(), { code: 'JOURNAL_IO' })
  // The daemon is killed. Its kernel has blocks that read well and are not on the disk.
  rig.agent.onClose()
  const { nextSeq, epoch } = openJournal(rig.directory, 0, disk)
  t.equal(nextSeq, 600, 'they are taken over')
  const writer = new JournalWriter({
    directory: rig.directory,
    shard: 0,
    epoch,
    nextSeq,
    segmentBytes: 2 ** 20,
    clock: rig.clock,
    onSealed: () => {},
    disk,
  })
  const bytes = new Uint8Array(10 * TICK_BYTES)
  putTicks(bytes, 0, nextSeq, 10)
  writer.append(bytes, 0, 10)
  writer.sync()
  writer.abandon()
  disk.crash()
  t.equal(openJournal(rig.directory, 0, disk).nextSeq, 610, 'and are still there')
  t.same(readAll(rig.directory, 0, 610), { count: 610, epochs: [1, 2], wrong: 0 })
})

const REFUSALS = [
  ['a write is told that the disk is full', 'writeAll', 'ENOSPC'],
  ['a write is told that the quota is used up', 'writeAll', 'EDQUOT'],
  ['an fsync is told that the disk is full', 'syncData', 'ENOSPC'],
  ['the next segment cannot be created', 'open', 'ENOSPC'],
  ['the header of the next segment finds no room', 'write', 'ENOSPC'],
  ['the next segment finds no room when it is synced', 'sync', 'ENOSPC'],
  ['its name finds no room in the directory', 'syncDirectory', 'ENOSPC'],
  ['there are no descriptors left', 'open', 'EMFILE'],
] as const

for (const [what, call, code] of REFUSALS) {
  t.test(`${what}: ingest is held, and goes on by itself`, async (t) => {
    const { disk, rig } = newRig(t)
    turn(rig, 100)
    disk.fail(call, code, { path: /shard-0/, times: Number.POSITIVE_INFINITY })
    for (let n = 0; n < 5; n++) turn(rig, 800)
    t.equal(rig.counters.get('holding'), 1)
    t.equal(rig.counters.get('over_budget'), 0)
    t.ok(rig.counters.get('held_seconds') > 0)
    t.same(
      rig.raised.map(({ kind }) => kind),
      ['journal_held'],
    )
    t.equal(rig.agent.drain(), false)
    disk.mend()
    turn(rig)
    turn(rig)
    t.equal(rig.counters.get('holding'), 0)
    drained(rig)
    t.equal(rig.position('durable').load(), 4100)
    losePower(t, rig, disk)
  })
}

t.test('a file system that becomes read-only holds ingest, and goes on', async (t) => {
  const { disk, rig } = newRig(t)
  turn(rig, 100)
  for (const call of ['writeAll', 'write', 'truncate', 'open', 'unlink'] as const) {
    disk.fail(call, 'EROFS', { times: Number.POSITIVE_INFINITY })
  }
  for (let n = 0; n < 5; n++) turn(rig, 800)
  t.equal(rig.counters.get('holding'), 1)
  t.match(rig.logged.at(-1), 'EROFS')
  disk.mend()
  turn(rig)
  drained(rig)
  t.equal(rig.position('durable').load(), 4100)
  losePower(t, rig, disk)
})

t.test('an agent that starts while the disk refuses holds, and starts later', async (t) => {
  const { disk, rig } = newRig(t)
  turn(rig, 100)
  rig.publish(100)
  disk.fail('writeAll', 'EIO')
  t.throws(() => rig.agent.doWork(), { code: 'JOURNAL_IO', canRetry: false })
  disk.fail('open', 'EROFS', { times: Number.POSITIVE_INFINITY })
  rig.restart()
  turn(rig)
  t.equal(rig.counters.get('holding'), 1)
  t.equal(rig.agent.drain(), false)
  disk.mend()
  drained(rig)
  t.equal(rig.position('durable').load(), 200)
  losePower(t, rig, disk)
})

const FAILURES = [
  ['a write', 'writeAll', 1],
  ['the header of the next segment', 'write', 0],
  ['an fsync of the next segment', 'sync', 0],
  ['the name of the next segment', 'syncDirectory', 0],
] as const

for (const [what, call, after] of FAILURES) {
  t.test(`${what} fails: the next agent loses nothing, even if power fails then`, async (t) => {
    const { disk, rig } = newRig(t)
    turn(rig, 100)
    disk.fail(call, 'EIO', { after })
    rig.publish(3000)
    t.throws(
      () => {
        for (let n = 0; n < 10; n++) turn(rig)
      },
      { code: 'JOURNAL_IO', canRetry: false },
    )
    rig.restart()
    turn(rig)
    t.equal(rig.position('durable').load(), 3100)
    losePower(t, rig, disk)
  })
  t.test(`${what} fails, and power at once: what was durable is there`, async (t) => {
    const { disk, rig } = newRig(t)
    turn(rig, 100)
    disk.fail(call, 'EIO', { after })
    rig.publish(3000)
    t.throws(
      () => {
        for (let n = 0; n < 10; n++) turn(rig)
      },
      { code: 'JOURNAL_IO' },
    )
    losePower(t, rig, disk)
  })
}

t.test('a start on a read-only file system says so, and changes nothing', async (t) => {
  const { disk, rig } = newRig(t)
  turn(rig, 100)
  rig.agent.onClose()
  disk.fail('open', 'EROFS', { path: /seg$/ })
  t.throws(() => openJournal(rig.directory, 0, disk), { code: 'JOURNAL_IO', message: 'EROFS' })
  disk.mend()
  disk.fail('write', 'EROFS', { path: /epoch/ })
  t.throws(() => openJournal(rig.directory, 0, disk), { code: 'JOURNAL_IO', message: 'epoch.json' })
  disk.mend()
  t.equal(openJournal(rig.directory, 0, disk).nextSeq, 100)
})

t.test('the wall clock steps: no record is lost, and only what is stored may go', async (t) => {
  const { rig } = newRig(t)
  const yearMs = 365 * 86_400_000
  for (const stepMs of [0, -yearMs, yearMs, 2 * yearMs, -yearMs]) {
    rig.clock.stepWall(stepMs)
    for (let n = 0; n < 4; n++) turn(rig, 1000, 1000)
  }
  t.equal(rig.position('durable').load(), 20_000)
  t.equal(rig.position('oldest').load(), 0, 'however old it looks: no store has read it')
  t.same(readAll(rig.directory, 0, 20_000), { count: 20_000, epochs: [1], wrong: 0 })
  rig.storedSeq = 12_000
  for (let n = 0; n < 40; n++) turn(rig, 0, 1000)
  t.ok(rig.position('oldest').load() <= 12_000)
  t.equal(new AgentRig(rig.directory).opened.nextSeq, 20_000)
})

t.test('above its budget the journal holds until the stores have caught up', async (t) => {
  const { rig } = newRig(t, { ...eager, bytes_max: 256 * 1024, retain_bytes: 128 * 1024 })
  for (let n = 0; n < 20; n++) turn(rig, 1000, 1000)
  t.equal(rig.counters.get('over_budget'), 1)
  t.ok(rig.counters.get('segment_bytes') <= 256 * 1024 + 8192)
  t.match(rig.logged.at(-1), 'journal.bytes_max')
  t.match(rig.raised, [{ kind: 'journal_held', evidence: { code: 'JOURNAL_FULL' } }])
  const durable = rig.position('durable').load()
  rig.storedSeq = durable
  for (let n = 0; n < 5; n++) turn(rig, 0, 1000)
  t.equal(rig.counters.get('holding'), 0)
  t.ok(rig.position('durable').load() > durable)
  t.equal(rig.raised.length, 1, 'once for the time that it held')
})

t.test(
  'a journal that is exactly as large as it may be makes room of what is stored',
  async (t) => {
    const { rig: like } = newRig(t)
    for (let n = 0; n < 4; n++) turn(like, 1000, 1000)
    const bytes = like.counters.get('segment_bytes')
    const { rig } = newRig(t, { ...eager, bytes_max: bytes, retain_bytes: bytes })
    for (let n = 0; n < 4; n++) turn(rig, 1000, 1000)
    t.equal(rig.counters.get('segment_bytes'), bytes)
    rig.storedSeq = 4000
    for (let n = 0; n < 4; n++) turn(rig, n === 0 ? 1000 : 0, 1000)
    t.equal(rig.counters.get('holding'), 0)
    t.equal(rig.position('durable').load(), 5000)
  },
)

t.test('when the file system is short of room, stored segments go and ingest waits', async (t) => {
  const { disk, rig } = newRig(t, { ...eager, free_bytes_min: 1000 })
  disk.free = 1000
  for (let n = 0; n < 5; n++) turn(rig, 1000, 1000)
  t.equal(rig.position('durable').load(), 5000)
  t.equal(rig.counters.get('free_bytes'), 1000)
  disk.free = 999
  turn(rig, 1000, 1000)
  t.equal(rig.counters.get('over_budget'), 1)
  t.match(rig.logged.at(-1), 'journal.free_bytes_min')
  t.equal(rig.position('durable').load(), 5000)
  rig.storedSeq = 5000
  for (let n = 0; n < 10; n++) turn(rig, 0, 1000)
  t.ok(rig.counters.get('segments_removed') >= 3, 'all but the newest closed one')
  disk.free = 1000
  turn(rig)
  t.equal(rig.counters.get('holding'), 0)
  t.equal(rig.position('durable').load(), 6000)
})

t.test('a start reads ends of closed segments, and no more of them', async (t) => {
  const { disk, rig } = newRig(t)
  for (let n = 0; n < 40; n++) turn(rig, 1000)
  rig.agent.onClose()
  const segments = disk.list(rig.directory).filter((name) => name.endsWith('.seg')).length
  t.ok(segments > 30)
  openJournal(rig.directory, 0, disk)
  disk.counts.clear()
  openJournal(rig.directory, 0, disk)
  // Header and seal of each; epoch and positions files; the newest seal is written anew.
  t.ok((disk.counts.get('read') ?? 0) <= 2 * segments + 8, `${disk.counts.get('read')} reads`)
})

t.test('a file system that does not say its room is not held to a reserve', async (t) => {
  const { disk, rig } = newRig(t, { ...eager, free_bytes_min: 1000 })
  disk.fail('freeBytes', 'ENOSYS', { times: Number.POSITIVE_INFINITY })
  turn(rig, 1000)
  t.equal(rig.position('durable').load(), 1000)
})
