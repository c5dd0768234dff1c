import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../../src/ops/log.ts'
import { Checkpoints } from '../../../../src/serve/feed/checkpoints.ts'
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
