import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import type { IncidentReport } from '../../../src/ops/incidents.ts'
import { FrameLoss } from '../../../src/source/frame-loss.ts'

function rig() {
  const clock = new SimulatedClock(1_700_000_000_000)
  const raised: IncidentReport[] = []
  const loss = new FrameLoss({ source: 'venue', clock, raise: (report) => raised.push(report) })
  return { clock, raised, loss }
}

t.test('a loss is told once it is over: how many frames, from when to when', async (t) => {
  const { clock, raised, loss } = rig()
  for (let n = 0; n < 5; n++) {
    loss.note(100 + n)
    clock.advance(200)
    loss.tick(clock.monoMs())
  }
  t.equal(raised.length, 0, 'it goes on')
  clock.advance(800)
  loss.tick(clock.monoMs())
  t.match(raised, [
    {
      kind: 'frames_lost',
      severity: 'critical',
      evidence: {
        source: 'venue',
        frames: 5,
        bytes: 510,
        from: '2023-11-14T22:13:20.000000000Z',
        to: '2023-11-14T22:13:20.800000000Z',
      },
    },
  ])
  clock.advance(5000)
  loss.tick(clock.monoMs())
  t.equal(raised.length, 1, 'nothing was lost since')
})

t.test('a long loss is told each minute, and no frame twice', async (t) => {
  const { clock, raised, loss } = rig()
  for (let n = 0; n < 300; n++) {
    loss.note(1)
    clock.advance(500)
    loss.tick(clock.monoMs())
  }
  loss.end()
  t.equal(raised.length, 3)
  const frames = raised.map(({ evidence }) => Number(evidence.frames))
  t.equal(
    frames.reduce((sum, count) => sum + count),
    300,
  )
  t.equal(new Set(raised.map(({ summary }) => summary)).size, 3, 'none is taken for a repeat')
})

t.test('nothing lost, nothing told', async (t) => {
  const { clock, raised, loss } = rig()
  loss.tick(clock.monoMs())
  loss.end()
  t.same(raised, [])
})
