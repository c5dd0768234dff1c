import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { EarlyWorkers } from '../../../src/threads/early-workers.ts'

const config = configSchema.parse({ redis: { mode: 'off' } })

t.test('each thread of the plan has a worker, which is given out once', async (t) => {
  const early = new EarlyWorkers({ ...config, threads: 'compact' })
  const [plan] = early.threads
  t.equal(early.threads.length, 1)
  const worker = plan && early.take(plan)
  t.ok(worker)
  t.equal(plan && early.take(plan), undefined, 'the next one is made')
  await early.end()
  t.not(worker?.threadId, -1, 'a taken one is not ended')
  await worker?.terminate()
})

t.test('those that nobody took are ended', async (t) => {
  const early = new EarlyWorkers({ ...config, threads: 'dedicated' })
  t.equal(early.threads.length, 6)
  await early.end()
  for (const plan of early.threads) t.equal(early.take(plan), undefined)
})
