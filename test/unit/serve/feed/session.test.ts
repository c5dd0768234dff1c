import t from 'tap'
import { sessionName } from '../../../../src/serve/feed/session.ts'

t.test('where one thread serves, its connections are numbered in turn', async (t) => {
  const names = [1, 2, 3].map((nth) => sessionName(12, nth, { index: 0, count: 1 }))
  t.same(names, ['12-1', '12-2', '12-3'])
})

t.test('of several, no two give the same name', async (t) => {
  const count = 3
  const names = [0, 1, 2].flatMap((index) =>
    Array.from({ length: 50 }, (_, i) => sessionName(12, i + 1, { index, count })),
  )
  t.equal(new Set(names).size, names.length)
})
