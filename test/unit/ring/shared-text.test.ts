import t from 'tap'
import { SharedText } from '../../../src/ring/shared-text.ts'

function two(slot = 0): [writer: SharedText, reader: SharedText] {
  const memory = new SharedArrayBuffer(SharedText.bytes(2))
  return [new SharedText(memory, slot), new SharedText(memory, slot)]
}

t.test('a text that was written is read; before, it is empty', (t) => {
  const [writer, reader] = two()
  t.equal(reader.read(), '')
  writer.write('Redis at redis://h does not answer')
  t.equal(reader.read(), 'Redis at redis://h does not answer')
  writer.write('é')
  t.equal(reader.read(), 'é', 'nothing of the longer one is left')
  writer.write('')
  t.equal(reader.read(), '')
  t.end()
})

t.test('a text that is too long is cut, and never within a character', (t) => {
  const [writer, reader] = two()
  writer.write(`x${'é'.repeat(300)}`)
  t.equal(reader.read(), `x${'é'.repeat(123)}`)
  t.end()
})

t.test('slots do not touch one another, and one beyond the memory is a bug', (t) => {
  const memory = new SharedArrayBuffer(SharedText.bytes(2))
  const first = new SharedText(memory, 0)
  const second = new SharedText(memory, 1)
  first.write('a'.repeat(1000))
  second.write('b')
  t.match(first.read(), /^a{248}$/)
  t.equal(second.read(), 'b')
  t.throws(() => new SharedText(memory, 2), /within its memory/)
  t.end()
})

t.test('a writer that died in the middle leaves nothing to read; the next one mends it', (t) => {
  const memory = new SharedArrayBuffer(SharedText.bytes(1))
  const text = new SharedText(memory, 0)
  text.write('before')
  const words = new Int32Array(memory)
  words[0] = (words[0] as number) | 1
  t.equal(text.read(), '')
  text.write('after')
  t.equal(text.read(), 'after')
  t.end()
})
