import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../../src/ops/log.ts'
import { Checkpoints, isBeginning } from '../../../../src/serve/feed/checkpoints.ts'
import { sumOf, Tally } from '../../../../src/serve/feed/tally.ts'
import { KIND } from '../../../../src/tick/layout.ts'
import { ticks } from '../../../support/serve-rig.ts'

const MAX = 16

t.test('what was noted is there after a restart, of the same journal only', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-checkpoints-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'checkpoints')
  const checkpoints = new Checkpoints(path, 'a', silentLog)
  const tally = new Tally(MAX, 3, 100)
  for (let round = 1; round <= 3; round++) {
    tally.count(ticks([1, 2, 2].map((instrument) => ({ instrument, value: round }))))
    checkpoints.note(tally, 2, round * 1000, 0)
  }
  writeFileSync(path, `${readFileSync(path, 'utf8')}{"journal":"a","epoch":3,"se`)
  const again = new Checkpoints(path, 'a', silentLog).list
  t.same(
    again.map(({ epoch, seq, recvMs }) => ({ epoch, seq, recvMs })),
    [103, 106, 109].map((seq, i) => ({ epoch: 3, seq, recvMs: (i + 1) * 1000 })),
  )
  t.same(
    again.map(({ counts }) => sumOf(counts, [2, 9], [KIND.trade, KIND.quote])),
    [2, 4, 6],
  )
  t.same(new Checkpoints(path, 'b', silentLog).list, [], 'another journal has other records')
  checkpoints.note(tally, 2, 4000, 106)
  t.same(
    checkpoints.list.map(({ seq }) => seq),
    [106, 109, 109],
    'what is no longer kept is forgotten',
  )
  t.end()
})

t.test('one writes the file; another reads it, and goes on in memory', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-checkpoints-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'checkpoints')
  const tally = new Tally(MAX, 3, 100)
  tally.count(ticks([{ instrument: 1, value: 1 }]))
  new Checkpoints(path, 'a', silentLog).note(tally, 2, 1000, 0)
  const written = readFileSync(path, 'utf8')
  const reader = new Checkpoints(path, 'a', silentLog, false)
  t.equal(reader.list.length, 1)
  reader.begin(4, 101, 2000)
  reader.note(new Tally(MAX, 4, 101), 2, 3000, 0)
  t.equal(reader.list.length, 2)
  t.equal(readFileSync(path, 'utf8'), written)
  t.end()
})

t.test('the beginning of an epoch is noted once, and outlives the rest', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-checkpoints-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'checkpoints')
  for (const epoch of [1, 2, 2, 3]) {
    const checkpoints = new Checkpoints(path, 'a', silentLog)
    checkpoints.begin(epoch, epoch * 100, 5000)
    checkpoints.begin(epoch, epoch * 100, 6000)
    const nothing = new Tally(MAX, epoch, epoch * 100)
    checkpoints.note(nothing, 2, 7000, 0)
  }
  const again = new Checkpoints(path, 'a', silentLog)
  t.same(
    again.list.map(({ epoch, seq, recvMs }) => [epoch, seq, recvMs]),
    [
      [1, 100, 5000],
      [2, 200, 5000],
      [3, 300, 5000],
    ],
  )
  t.ok(again.list.every(isBeginning))
  const large = 16_384
  const tally = new Tally(large, 3, 300)
  for (let round = 0; round < 60; round++) {
    tally.count(ticks([{ instrument: 1, value: round }]))
    again.note(tally, large, 8000, 0)
  }
  t.equal(again.list.filter(isBeginning).length, 3)
  t.ok(again.list.length < 30, `${again.list.length} are left`)
  // The journal was restored from before that.
  again.begin(2, 150, 9000)
  t.same(
    again.list.map(({ epoch, seq }) => [epoch, seq]),
    [
      [1, 100],
      [2, 150],
    ],
  )
  t.end()
})
