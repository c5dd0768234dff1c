import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { PIPELINE, STAGE_NAMES, START_ORDER } from '../../../src/pipeline.ts'
import { planThreads, threadOf } from '../../../src/threads/plan.ts'

const ALL_ON = { postgres: false, redis: false }

t.test(
  'every stage is started once, and all that ticks reach before what lets them flow',
  async (t) => {
    t.same(START_ORDER.flat().sort(), [...STAGE_NAMES].sort())
    t.same(START_ORDER.slice(-2), [['decode'], ['source']])
  },
)

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

const threadNames = (settings: object, cores: number) =>
  planThreads(configSchema.parse({ serve: { threads: 3 }, ...settings }), cores, ALL_ON).map(
    ({ name, agents }) => `${name}: ${agents.map(({ roleName }) => roleName).join(' ')}`,
  )

t.test('on two cores shards share all threads but the journals', async (t) => {
  t.same(threadNames({ shards: 2, serve: { threads: 1 } }, 2), [
    'live: source decode-0 decode-1 aggregate serve',
    'journal: journal-0',
    'journal-1: journal-1',
    'store: postgres-0 postgres-1 redis',
  ])
})

t.test('serve agents beyond the first have threads of their own, whatever the setting', (t) => {
  const further = ['serve-1: serve-1', 'serve-2: serve-2']
  t.same(threadNames({}, 2), [
    'live: source decode-0 aggregate serve',
    'journal: journal-0',
    'store: postgres-0 redis',
    ...further,
  ])
  t.same(threadNames({}, 8).slice(-3), ['serve: serve', ...further])
  t.same(threadNames({ threads: 'compact' }, 8).slice(1), further)
  const rest = ['journal', 'aggregate', 'postgres', 'redis']
  const table = { hot: ['source', 'decode', 'serve'], rest }
  t.same(threadNames({ threads: table }, 8), [
    'hot: source decode-0 serve',
    'rest: journal-0 aggregate postgres-0 redis',
    ...further,
  ])
  t.same(threadNames({ threads: table, shards: 2 }, 8), [
    'hot: source decode-0 serve',
    'hot-1: decode-1',
    'rest: journal-0 aggregate postgres-0 redis',
    'rest-1: journal-1 postgres-1',
    ...further,
  ])
  t.end()
})

t.test('each serve agent is found by its number', async (t) => {
  const threads = planThreads(configSchema.parse({ serve: { threads: 2 } }), 8, ALL_ON)
  t.equal(threadOf(threads, 'serve')?.name, 'serve')
  t.equal(threadOf(threads, 'serve', 1)?.name, 'serve-1')
  t.equal(threadOf(threads, 'serve', 2), undefined)
  t.notOk(threadOf(threads, 'serve', 1)?.blocking)
})
