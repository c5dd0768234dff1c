import t from 'tap'
import { ByteCursor } from '../../../src/decode/byte-cursor.ts'
import { parseDecimal } from '../../../src/tick/fixed-point.ts'

const cursor = new ByteCursor()
const words = new Int32Array(4)

/** Reads at the begin of the text; how far it got, or 'no'. */
function read(text: string, reader: (cursor: ByteCursor) => boolean): number | 'no' {
  const bytes = Buffer.from(text)
  cursor.begin(bytes, 0, bytes.length)
  return reader(cursor) ? cursor.at : 'no'
}

t.test('whole numbers are JSON’s, of few digits', async (t) => {
  const whole = (text: string) => read(text, (c) => c.whole() >= 0)
  t.equal(whole('0,'), 1)
  t.equal(whole('123456789012345}'), 15)
  for (const bad of ['', '-1', '01', '1.5', '1e5', '1E5', '1234567890123456', 'x', '"1"']) {
    t.equal(whole(bad), 'no', bad)
  }
})

t.test('decimals agree with the parser wherever they are taken', async (t) => {
  const expected = new Int32Array(2)
  const texts = ['0', '1', '61800.30000000', '-0.5', '-0', '00.5', '9223372035.999999999']
  for (const text of [...texts, '0.00000001', '92233720.12345678']) {
    for (const decimals of [8, 9]) {
      const bytes = Buffer.from(text)
      const parsed = parseDecimal(bytes, 0, bytes.length, decimals, expected, 0)
      const got = read(`"${text}"`, (c) => c.quotedDecimal(decimals, words, 0))
      if (got === 'no') continue
      t.equal(parsed, 0, text)
      t.same([...words.slice(0, 2)], [...expected], `${text} at ${decimals}`)
    }
  }
  const quoted = (text: string) => read(text, (c) => c.quotedDecimal(8, words, 0))
  t.equal(quoted('"61800.30000000",'), 16, 'the common form is taken')
  for (const bad of ['"', '""', '"-"', '".5"', '"1."', '"1.5', '1.5', '"1.5x"', '"1e5"', '"+1"']) {
    t.equal(quoted(bad), 'no', bad)
  }
  t.equal(quoted('"1.000000000"'), 'no', 'surplus zeros are for the parser')
  t.equal(quoted('"9223372036"'), 'no', 'the end of the range is for the parser')
})

t.test('strings, literals and keys', async (t) => {
  const quoted = (text: string) => read(text, (c) => c.quoted())
  t.equal(quoted('"é",'), 4)
  for (const bad of ['"', '"a', 'a"', '"\\n"', '"\n"']) t.equal(quoted(bad), 'no', bad)
  t.equal(
    read('true', (c) => c.boolean() === 1),
    4,
  )
  t.equal(
    read('false', (c) => c.boolean() === 0),
    5,
  )
  for (const bad of ['tru', 'falsy', 'null', '']) {
    t.equal(
      read(bad, (c) => c.boolean() >= 0),
      'no',
      bad,
    )
  }
  t.equal(
    read('"x":1', (c) => c.letterKey() === 0x78),
    4,
  )
  for (const bad of ['"xy":1', '"x" :1', 'x:1', '"":1']) {
    t.equal(
      read(bad, (c) => c.letterKey() >= 0),
      'no',
      bad,
    )
  }
})
