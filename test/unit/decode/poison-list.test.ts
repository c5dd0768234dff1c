import t from 'tap'
import { PoisonList } from '../../../src/decode/poison-list.ts'

const frame = (text: string) => Buffer.from(`..${text}..`)
const add = (list: PoisonList, text: string) => list.add(frame(text), 2, 2 + text.length)
const has = (list: PoisonList, text: string) => list.has(frame(text), 2, 2 + text.length)

t.test('a frame is known by its bytes, also to another thread', async (t) => {
  const memory = PoisonList.create()
  const list = new PoisonList(memory)
  t.ok(list.isEmpty)
  t.notOk(has(list, 'bad'))
  add(list, 'bad')
  t.notOk(list.isEmpty)
  t.ok(has(list, 'bad'))
  t.notOk(has(list, 'bat'), 'of the same length')
  t.notOk(has(list, 'bad!'), 'of another')
  t.ok(has(new PoisonList(memory), 'bad'), 'after a restart')
})

t.test('the same frame again takes no place; the oldest of many is forgotten', async (t) => {
  const list = new PoisonList(PoisonList.create())
  for (let i = 0; i < 100; i++) add(list, 'same')
  for (let i = 0; i < 63; i++) add(list, `frame ${i}`)
  t.ok(has(list, 'same'))
  add(list, 'one more')
  t.notOk(has(list, 'same'))
  t.ok(has(list, 'one more'))
  t.ok(has(list, 'frame 0'))
})
