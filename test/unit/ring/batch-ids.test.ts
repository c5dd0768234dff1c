import t from 'tap'
import { BatchIds } from '../../../src/ring/batch-ids.ts'
import {
  type BatchMark,
  batchKey,
  batchPrefix,
  newMark,
  readMark,
  readPrefix,
  writeMark,
} from '../../../src/ring/batch-mark.ts'

function table(capacity: number): BatchIds {
  return new BatchIds(BatchIds.create(capacity), capacity)
}

/** The mark of batch `name`, part `part`, whose records begin at `firstSeq`. */
function markOf(name: string, part = 0, firstSeq = 0, accepted = 1): BatchMark {
  const mark = newMark()
  readPrefix(batchPrefix(batchKey('test', name), part), 0, mark)
  return Object.assign(mark, {
    firstSeq,
    accepted,
    duplicate: 2,
    rejected: 3,
    frameCrc: 2 ** 32 - 1,
  })
}

t.test('a mark comes back as it was written, at the largest sequence too', async (t) => {
  const words = new Int32Array(48)
  const mark = markOf('a', 2 ** 32 - 1, 2 ** 48 - 1, 16_384)
  writeMark(words, 1, mark)
  const read = newMark()
  readMark(words, 1, read)
  t.same(read, mark)
  t.ok(words.subarray(0, 16).every((word) => word === 0))
  t.ok(words.subarray(32).every((word) => word === 0))
})

t.test('an id is of its source: the same text elsewhere is another', async (t) => {
  t.not(Buffer.compare(batchKey('a', 'x'), batchKey('b', 'x')), 0)
  t.not(Buffer.compare(batchKey('a', 'bx'), batchKey('ab', 'x')), 0)
  t.equal(Buffer.compare(batchKey('a', 'x'), batchKey('a', 'x')), 0)
})

t.test(
  'what was put is found, by id and part; the oldest goes when the table is full',
  async (t) => {
    const ids = table(100)
    const found = newMark()
    for (let i = 0; i < 1000; i++) {
      ids.put(markOf(`b-${i >> 1}`, i & 1, i))
      const oldest = Math.max(0, i - 99)
      t.equal(ids.size, Math.min(i + 1, 100))
      for (const k of [oldest, i]) {
        if (!ids.find(markOf(`b-${k >> 1}`).id, k & 1, found)) t.fail(`${k} of ${i} is not found`)
        if (found.firstSeq !== k) t.fail(`${k} is found as ${found.firstSeq}`)
      }
      const gone = oldest - 1
      if (gone >= 0 && ids.find(markOf(`b-${gone >> 1}`).id, gone & 1, found))
        t.fail('not forgotten')
    }
  },
)

t.test('putting an id again replaces what is known of it', async (t) => {
  const ids = table(4)
  ids.put(markOf('a', 0, 5))
  ids.put(markOf('a', 0, 9))
  const found = newMark()
  t.ok(ids.find(markOf('a').id, 0, found))
  t.equal(found.firstSeq, 9)
  t.equal(ids.size, 1)
})

t.test('a second view of the memory goes on where the first stopped', async (t) => {
  const memory = BatchIds.create(8)
  new BatchIds(memory, 8).put(markOf('a', 0, 7))
  const later = new BatchIds(memory, 8)
  t.ok(later.find(markOf('a').id, 0, newMark()))
  for (let i = 0; i < 8; i++) later.put(markOf(`n-${i}`))
  t.notOk(later.find(markOf('a').id, 0, newMark()))
})

t.test('marks of records that were never published are forgotten, others are not', async (t) => {
  const ids = table(16)
  for (let i = 0; i < 10; i++) ids.put(markOf(`b-${i}`, 0, 10 * i, 10))
  ids.forgetFrom(70)
  for (let i = 0; i < 10; i++) {
    t.equal(ids.find(markOf(`b-${i}`).id, 0, newMark()), i < 7, `batch ${i}`)
  }
  for (let i = 0; i < 40; i++) ids.put(markOf(`n-${i}`, 0, 100 + i))
  for (let i = 24; i < 40; i++) t.ok(ids.find(markOf(`n-${i}`).id, 0, newMark()))
})

/** Its memory is written word by word, and the thread is ended before write number `writes`. */
function endingTable(memory: SharedArrayBuffer, capacity: number, writes: number): BatchIds {
  let left = writes
  const write = (array: Int32Array, index: number, value: number) => {
    if (left-- === 0) throw new Error('ended')
    array[index] = value
  }
  const watched = (array: Int32Array) =>
    new Proxy(array, {
      get(_, key) {
        if (key === 'set') {
          return (values: ArrayLike<number>, at = 0) => {
            for (let i = 0; i < values.length; i++) write(array, at + i, values[i] as number)
          }
        }
        if (key === 'fill') {
          return (value: number, from: number, to: number) => {
            for (let i = from; i < to; i++) write(array, i, value)
          }
        }
        const value = Reflect.get(array, key)
        return typeof value === 'function' ? value.bind(array) : value
      },
      set(_, key, value) {
        write(array, Number(key), value)
        return true
      },
    })
  const Real = Int32Array
  globalThis.Int32Array = new Proxy(Real, {
    construct: (_, args) => watched(Reflect.construct(Real, args)),
  })
  try {
    return new BatchIds(memory, capacity)
  } finally {
    globalThis.Int32Array = Real
  }
}

/** Did the thread end within it? */
function endsIn(act: () => void): boolean {
  try {
    act()
    return false
  } catch (error) {
    if ((error as Error).message !== 'ended') throw error
    return true
  }
}

t.test(
  'ended at any write, a mark without its records is void, and the others stand',
  async (t) => {
    const capacity = 8
    const found = newMark()
    const isKnown = (ids: BatchIds, i: number) => ids.find(markOf(`b-${i}`).id, 0, found)
    for (const before of [0, 3, capacity, 21]) {
      let isOver = false
      let writes = 0
      for (; !isOver; writes++) {
        const memory = BatchIds.create(capacity)
        const first = new BatchIds(memory, capacity)
        for (let i = 0; i < before; i++) first.put(markOf(`b-${i}`, 0, i))
        const put = () =>
          endingTable(memory, capacity, writes).put(markOf(`b-${before}`, 0, before))
        isOver = !endsIn(put)
        // The next one may end as well, while it voids.
        const forget = (at: number) => endingTable(memory, capacity, at).forgetFrom(before)
        for (let at = 0; endsIn(() => forget(at)); at++);
        const next = new BatchIds(memory, capacity)
        if (isKnown(next, before)) t.fail(`${before}: known, ended before write ${writes}`)
        // The oldest may have gone for the one that was not to be.
        for (let i = Math.max(0, before - capacity + 1); i < before; i++) {
          if (!isKnown(next, i))
            t.fail(`${before}: ${i} is forgotten, ended before write ${writes}`)
        }
        for (let i = before; i < before + 3 * capacity; i++) {
          next.put(markOf(`b-${i}`, 0, i))
          for (let k = Math.max(before, i - capacity + 2); k <= i; k++) {
            if (!isKnown(next, k)) t.fail(`${before}: ${k} of ${i}, ended before write ${writes}`)
          }
        }
      }
      t.ok(writes > 16, `${writes} writes`)
    }
  },
)
