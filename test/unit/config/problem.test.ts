import t from 'tap'
import { givenText, hideCredentials, nearestName } from '../../../src/config/problem.ts'

t.test('the nearest name is one that a slip of the hand could have meant', async (t) => {
  const known = ['listen', 'flush_ms', 'frame_ticks', 'heartbeat_ms']
  t.equal(nearestName('listn', known), 'listen')
  t.equal(nearestName('heartbeat', known), 'heartbeat_ms')
  t.equal(nearestName('flsuh_ms', known), 'flush_ms')
  t.equal(nearestName('colour', known), undefined)
  t.equal(nearestName('x', []), undefined)
})

t.test('credentials are hidden in whatever form an address has them', async (t) => {
  t.equal(hideCredentials('postgresql://me:pw@h/d'), 'postgresql://me:***@h/d')
  t.equal(hideCredentials('redis://:pw@h:1'), 'redis://:***@h:1')
  t.equal(hideCredentials('postgresql://h/d?password=pw&x=1'), 'postgresql://h/d?password=***&x=1')
  t.equal(hideCredentials('postgresql://me@h:5432/d'), 'postgresql://me@h:5432/d')
  t.equal(hideCredentials('redis://me:p/w@h'), 'redis://me:***@h', 'a slash does not end it')
})

t.test('a long value is cut', async (t) => {
  t.ok(givenText('x'.repeat(1000)).length < 100)
})
