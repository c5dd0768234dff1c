import t from 'tap'
import { configSchema } from '../../../src/config/schema.ts'
import { MemoryWatch } from '../../../src/threads/memory-watch.ts'
import { planThreads } from '../../../src/threads/plan.ts'
import { createSharedMemory, Shared } from '../../../src/threads/shared-memory.ts'

const MAX = 1000

function setUp(bytesMax = MAX) {
  const config = configSchema.parse({ threads: 'dedicated', shards: 1 })
  const threads = planThreads(config, 2, { postgres: true, redis: true })
  const shared = new Shared(createSharedMemory(config, threads, []))
  const watch = new MemoryWatch(threads, shared, { rss_bytes_max: bytesMax })
  return {
    watch,
    hold: (thread: string, heap: number, external: number) => {
      shared.counters('thread', thread).set('heap_used_bytes', heap)
      shared.counters('thread', thread).set('external_bytes', external)
    },
  }
}

t.test('within the limit nobody is named; without one never', async (t) => {
  t.equal(setUp().watch.look(0, MAX), undefined)
  t.equal(setUp(0).watch.look(0, 2 ** 50), undefined)
})

t.test('beyond it, the thread that holds most, buffers included', async (t) => {
  const { watch, hold } = setUp()
  hold('source', 400, 0)
  hold('serve', 100, 400)
  const holder = watch.look(0, MAX + 1)
  t.equal(holder?.thread?.name, 'serve')
  t.match(holder?.why, /1001 bytes.*rss_bytes_max.*500/)
  t.equal(watch.look(59_000, MAX + 1), undefined, 'its end is given time to show')
  t.equal(watch.look(61_000, MAX + 1)?.thread?.name, 'serve')
})

t.test('memory that no thread explains is said, and nobody pays for it', async (t) => {
  const { watch, hold } = setUp()
  hold('serve', 100, 100)
  const holder = watch.look(0, MAX + 1)
  t.match(holder, { thread: undefined, why: /no thread's heap explains it/ })
})
