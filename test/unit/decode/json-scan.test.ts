import t from 'tap'
import {
  BAD,
  NestedWalker,
  skipNumber,
  skipScalar,
  skipSpace,
  skipString,
} from '../../../src/decode/json-scan.ts'
import { Unescaper } from '../../../src/decode/json-unescape.ts'
import { KeyTable } from '../../../src/decode/key-table.ts'
import { ObjectScan, VALUE } from '../../../src/decode/object-scan.ts'

/** The text between two bytes that must not be read; offsets are those of the text plus 1. */
function framed(text: string): Uint8Array {
  return Buffer.from(`9${text}9`)
}

t.test('numbers are JSON’s', async (t) => {
  const end = (text: string) => {
    const at = skipNumber(framed(text), 1, text.length + 1)
    return at === BAD ? 'bad' : at - 1
  }
  for (const good of ['0', '-0', '12', '1.50', '-0.1', '1e5', '1E+5', '1.5e-07', '0e0']) {
    t.equal(end(good), good.length, good)
  }
  for (const bad of ['-', '.5', '1.', '1.e5', '1e', '1e+', '-.1', '+1', 'x']) {
    t.equal(end(bad), 'bad', bad)
  }
  t.equal(end('01'), 1, 'a number ends after its leading zero')
})

t.test('strings end at their quote, and tell of escapes', async (t) => {
  const end = (text: string) => {
    const bytes = framed(text)
    return skipString(bytes, 1, bytes.length - 1)
  }
  t.equal(end('""'), 3)
  t.equal(end('"é\u007f"'), 1 + Buffer.byteLength('"é\u007f"'))
  t.equal(end('"a\\n\\u00e9\\""'), -14, 'negated')
  for (const bad of ['"', '"a', '"\n"', '"\\"', '"\\x"', '"\\u12g4"', '"\\u12', '"a\\n\u0001"']) {
    t.equal(end(bad), BAD, JSON.stringify(bad))
  }
})

t.test('white space and literals', async (t) => {
  t.equal(skipSpace(Buffer.from(' \t\r\n\fx'), 0, 6), 4, 'a form feed is none')
  for (const good of ['true', 'false', 'null']) {
    t.equal(skipScalar(framed(good), 1, good.length + 1), good.length + 1)
  }
  for (const bad of ['tru', 'falsy', 'nul', 'True', 'NaN', '', 'undefined']) {
    t.equal(skipScalar(framed(bad), 1, bad.length + 1), BAD, bad)
  }
})

t.test('nested values are walked as JSON.parse would', async (t) => {
  const walker = new NestedWalker()
  const skip = (text: string) => {
    const bytes = framed(text)
    return walker.skip(bytes, 1, bytes.length - 1)
  }
  const deep = 20_000
  const good = [
    '[]',
    '{}',
    '[[],{}]',
    ' [ 1 , "a" , { "b" : [ null ] } ] '.trim(),
    '{"a":{"b":{"c":[1,2,{}]}},"d":[]}',
    '['.repeat(deep) + ']'.repeat(deep),
    `${'{"a":['.repeat(deep)}1${']}'.repeat(deep)}`,
  ]
  for (const text of good) t.equal(skip(text), 1 + Buffer.byteLength(text), text.slice(0, 40))
  const bad = ['[', '{', '[}', '{]', '[1,]', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', '[1 2]']
  for (const text of [...bad, '{"a":1]', '[{]}', '{"a" 1}', '[,1]', '{,}', '{1:2}', '[tru]']) {
    t.equal(skip(text), BAD, text)
  }
  t.equal(skip('[1]]'), 4, 'what follows is the caller’s matter')
  skip('["a\\n"]')
  t.ok(walker.escaped)
  skip('["a"]')
  t.notOk(walker.escaped)
})

t.test('a scan notes known members, the last of each, and nothing of the one before', async (t) => {
  const keys = new KeyTable(['a', 'price', 'nested'])
  const nested = new ObjectScan(keys)
  const scan = new ObjectScan(keys, keys.slot('nested'), nested)
  const text = '{"price" : "1.5", "x":[], "a":1,"a":true,"nested":{"price":-2,"other":{}}}'
  const bytes = framed(text)
  const span = (s: ObjectScan, key: string) =>
    Buffer.from(bytes.slice(s.starts[keys.slot(key)], s.ends[keys.slot(key)])).toString()
  t.equal(scan.scan(bytes, 1, bytes.length - 1), bytes.length - 1)
  t.same([...scan.types], [VALUE.true, VALUE.string, VALUE.object])
  t.equal(span(scan, 'price'), '1.5')
  t.same([...nested.types], [VALUE.absent, VALUE.number, VALUE.absent])
  t.equal(span(nested, 'price'), '-2')
  t.equal(scan.scan(Buffer.from('{}'), 0, 2), 2)
  t.same([...scan.types], [VALUE.absent, VALUE.absent, VALUE.absent])
})

t.test('a key table finds its names and nothing else', async (t) => {
  const names = ['e', 'E', 'depth5', 'depth10', 'depth20', 'bid_price', 'ask_price', 'ts', 'st']
  const keys = new KeyTable(names)
  names.forEach((name, slot) => {
    const bytes = framed(name)
    t.equal(keys.find(bytes, 1, bytes.length - 1), slot, name)
  })
  for (const other of ['', 'f', 'depth', 'depth1', 'depth30', 'bid_pricf', 'tS', 'x'.repeat(99)]) {
    const bytes = framed(other)
    t.equal(keys.find(bytes, 1, bytes.length - 1), -1, other)
  }
  t.throws(() => new KeyTable(['a', 'a']), /each name is there once/)
  t.throws(() => keys.slot('nope'), /knows nope/)
})

t.test('unescaping keeps what has no plain form, and the value of every string', async (t) => {
  const unescaper = new Unescaper()
  const rewrite = (text: string) => {
    const bytes = framed(text)
    const size = unescaper.rewrite(bytes, 1, bytes.length - 1)
    return Buffer.from(unescaper.bytes.slice(0, size)).toString()
  }
  t.equal(rewrite('{"\\u0061":"\\/\\u00e9\\u20ac\\ud83d\\ude00"}'), '{"a":"/é€😀"}')
  const kept = '"\\"\\\\\\n\\u0000\\u0022\\u005C\\ud83d\\udc"'.replace('\\udc', '\\ud83d')
  t.equal(rewrite(kept), kept)
  const long = JSON.stringify('\u0007😀é'.repeat(5000))
  t.equal(JSON.parse(rewrite(long)), JSON.parse(long))
})
