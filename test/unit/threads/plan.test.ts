import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { PIPELINE } from '../../../src/pipeline.ts'
import { planThreads, threadOf } from '../../../src/threads/plan.ts'

const ALL_ON = { postgres: false, redis: false }

t.test('compact puts every agent on one thread, in the order of the pipeline', async (t) => {
  const threads = planThreads(configSchema.parse({ threads: 'compact' }), 8, ALL_ON)
  t.equal(threads.length, 1)
  t.same(
    threads[0]?.agents.map(({ stage }) => stage),
    PIPELINE.map(({ stage }) => stage),
  )
  t.equal(threads[0]?.blocking, false, 'it has sockets, so it may not block')
})

t.test('dedicated gives each agent a thread, and only the socketless ones may block', async (t) => {
  const threads = planThreads(configSchema.parse({ threads: 'dedicated', shards: 2 }), 2, ALL_ON)
  t.same(
    threads.map(({ name }) => name),
    [
      'source',
      'decode-0',
      'decode-1',
      'journal-0',
      'journal-1',
      'aggregate',
      'postgres-0',
      'postgres-1',
      'redis',
      'serve',
    ],
  )
  const blocking = threads.filter(({ blocking }) => blocking).map(({ name }) => name)
  t.same(blocking, ['decode-0', 'decode-1', 'journal-0', 'journal-1', 'aggregate'])
})

t.test('auto follows the cores', async (t) => {
  const config = configSchema.parse({})
  t.same(
    planThreads(config, 2, ALL_ON).map(({ name }) => name),
    ['live', 'journal', 'store'],
  )
  t.equal(planThreads(config, 4, ALL_ON).length, 7)
})

t.test('a stage that is off has no agent, and slots and bells stay dense', async (t) => {
  const threads = planThreads(configSchema.parse({}), 2, { postgres: true, redis: true })
  t.equal(threadOf(threads, 'postgres'), undefined)
  t.equal(threadOf(threads, 'redis'), undefined)
  t.same(threads.flatMap(({ agents }) => agents.map(({ slot }) => slot)).sort(), [0, 1, 2, 3, 4])
  t.same(
    threads.map(({ bell }) => bell),
    threads.map((_, index) => index),
  )
})

t.test('a table that forgets a role is an error that names it', async (t) => {
  const config = configSchema.parse({ threads: { a: ['source', 'decode', 'journal'] } })
  t.throws(() => planThreads(config, 2, ALL_ON), { message: /aggregate/ })
})
