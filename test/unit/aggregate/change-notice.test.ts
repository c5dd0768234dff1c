import t from 'tap'
import { ChangeNotice } from '../../../src/aggregate/change-notice.ts'

function both(): [reader: ChangeNotice, writer: ChangeNotice] {
  const memory = ChangeNotice.create()
  return [new ChangeNotice(memory), new ChangeNotice(memory)]
}

t.test('before it was armed, something may have changed, and nobody is rung', (t) => {
  const [reader, writer] = both()
  t.ok(reader.isTaken)
  t.notOk(writer.take())
  t.end()
})

t.test('one change after an arming rings, further ones do not', (t) => {
  const [reader, writer] = both()
  reader.arm()
  t.notOk(reader.isTaken)
  t.ok(writer.take())
  t.ok(reader.isTaken)
  t.notOk(writer.take())
  reader.arm()
  t.ok(writer.take())
  t.end()
})
