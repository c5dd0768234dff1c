import t from 'tap'
import { QueueAge } from '../../../../src/serve/feed/queue-age.ts'

t.test('the age is that of the oldest byte still queued', (t) => {
  const queue = new QueueAge()
  t.equal(queue.ageMs(0, 5), 0, 'nothing was sent')
  queue.sent(100, 1000)
  queue.sent(100, 1500)
  queue.sent(100, 2000)
  t.equal(queue.ageMs(300, 2100), 1100)
  t.equal(queue.ageMs(250, 2100), 1100, 'a part of the first has left')
  t.equal(queue.ageMs(200, 2100), 600)
  t.equal(queue.ageMs(1, 2100), 100)
  t.equal(queue.ageMs(0, 2100), 0)
  queue.sent(50, 3000)
  t.equal(queue.ageMs(50, 3010), 10, 'it begins anew')
  t.end()
})

t.test('however much is sent, it is bounded, and never takes bytes for younger', (t) => {
  const queue = new QueueAge()
  for (let i = 0; i < 1000; i++) queue.sent(10, i * 100)
  t.equal(queue.ageMs(10_000, 100_000), 100_000)
  t.ok(queue.ageMs(10, 100_000) >= 100)
  t.end()
})
