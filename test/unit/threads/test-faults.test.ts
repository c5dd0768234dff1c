import t from 'tap'
import { SimulatedClock } from '../../../src/clock.ts'
import type { Agent } from '../../../src/threads/agent.ts'
import {
  cuts,
  POISON,
  testFaults,
  withFault,
  withPoison,
} from '../../../src/threads/test-faults.ts'

const allowed = (text: string) => ({ TICKD_TEST_FAULTS: text, TICKD_TEST_FAULTS_ALLOWED: 'yes' })

t.test('nothing is asked for, nothing is wrapped', async (t) => {
  t.same(testFaults({}), [])
  const agent: Agent = { roleName: 'decode-0', doWork: () => 0, drain: () => true }
  t.equal(withFault(agent, [], 0, new SimulatedClock()), agent)
  const decoder = { decode() {} }
  t.equal(withPoison(decoder, []), decoder)
})

t.test('they are refused unless they are allowed, and where they are no faults', async (t) => {
  const message = /TICKD_TEST_FAULTS_ALLOWED=yes/
  for (const allowing of [undefined, '', '1', 'no']) {
    const env = { TICKD_TEST_FAULTS: 'serve:hang', TICKD_TEST_FAULTS_ALLOWED: allowing }
    t.throws(() => testFaults(env), { code: 'USAGE', message })
  }
  for (const text of ['serve', 'serve:', 'serve:sleep', 'poison:cut@1', 'serve:hang@-1', 'a,b']) {
    t.throws(() => testFaults(allowed(text)), { code: 'USAGE' }, text)
  }
})

t.test('the fault of each life comes when it is due, and once a life', async (t) => {
  const faults = testFaults(allowed('decode-0:throw@100,decode-0:throw@5,serve:cut@9'))
  t.same(cuts(faults), [{ role: 'serve', kind: 'cut', afterMs: 9 }])
  const clock = new SimulatedClock()
  const agent: Agent = { roleName: 'decode-0', doWork: () => 7, drain: () => true }
  const first = withFault(agent, faults, 0, clock)
  t.equal(first.doWork(), 7)
  clock.advance(100)
  t.throws(() => first.doWork(), /on demand/)
  const second = withFault(agent, faults, 1, clock)
  clock.advance(5)
  t.throws(() => second.doWork(), /on demand/)
  t.equal(withFault(agent, faults, 2, clock), agent, 'the third life is without')
})

t.test('only a poison frame is poison, and it was decoded', async (t) => {
  let decoded = 0
  const decoder = {
    decode() {
      decoded++
    },
  }
  const poisoned = withPoison(decoder, testFaults(allowed('poison:throw')))
  const decode = (text: string) => {
    const bytes = Buffer.from(text)
    poisoned.decode(bytes, 0, bytes.length, {} as never, {} as never, {} as never)
  }
  decode('good')
  t.throws(() => decode(`a ${POISON} b`), /on demand/)
  t.equal(decoded, 2)
})
