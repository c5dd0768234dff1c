// A sealed segment that is cut back, an fsync that fails at it, and a power cut: what is left never
// looks whole where it is not. On the simulated disk, where a failed fsync may leave any half.

import t from 'tap'
import { recoverJournal } from '../../../src/journal/recovery.ts'
import { Random } from '../../../src/source/random.ts'
import { SimulatedDisk } from '../../simulation/simulated-disk.ts'
import { TestWriter } from './journal-fixture.ts'

const DIRECTORY = '/journal/shard-0'
const SEEDS = 200
const BLOCK_TICKS = 10
const BLOCKS = 5
/** What its owner knew to be durable: the first two blocks. */
const KNOWN_SEQ = 2 * BLOCK_TICKS

/** Cuts a sealed journal back while its `failing`th fsync fails; then power is lost. */
function cutUnderFaults(seed: number, failing: number): SimulatedDisk {
  const disk = new SimulatedDisk(new Random(seed))
  const process = disk.process()
  const { writer, commit } = new TestWriter({ directory: DIRECTORY, disk: process })
  for (let block = 0; block < BLOCKS; block++) commit(BLOCK_TICKS)
  writer.close()
  let syncs = 0
  const sync = process.sync.bind(process)
  process.sync = (fd) => {
    if (++syncs === failing) disk.arm('sync')
    sync(fd)
  }
  try {
    recoverJournal(DIRECTORY, 0, { endSeq: KNOWN_SEQ, epoch: 1 }, process)
  } catch {
    // As it must: it is tried again, or, here, power is lost first.
  }
  process.die()
  disk.heal()
  disk.loseUnsynced()
  return disk
}

t.test('whichever fsync of a cut fails: no record is taken for damaged', async (t) => {
  for (let seed = 0; seed < SEEDS; seed++) {
    for (let failing = 1; failing <= 3; failing++) {
      const disk = cutUnderFaults(seed, failing)
      const { nextSeq, damage } = recoverJournal(DIRECTORY, 0, undefined, disk.process())
      const scan = recoverJournal(DIRECTORY, 0, { endSeq: nextSeq, epoch: 1 }, disk.process())
      if (damage.length === 0 && scan.damage.length === 0 && nextSeq >= KNOWN_SEQ) continue
      t.fail(`seed ${seed}, fsync ${failing}: ends at ${nextSeq}`, { damage })
      return
    }
  }
  t.pass(`${SEEDS} disks`)
})
