import t from 'tap'
import { MALFORMED_LINE_BYTES_MAX, MalformedLines } from '../../../src/source/malformed.ts'
import { Random } from '../../../src/source/random.ts'

const GOOD = '{"type":"trade","symbol":"BTC-USD","price":"60000.01","size":"0.5","flags":["last"]}'

function lines(seed: number, count: number): Buffer[] {
  const malformed = new MalformedLines(new Random(seed), () => GOOD)
  return Array.from({ length: count }, () => malformed.next())
}

t.test('the same seed gives the same lines, another seed others', async (t) => {
  const [a, b, c] = [lines(5, 500), lines(5, 500), lines(6, 500)].map((l) => Buffer.concat(l))
  t.ok(a?.equals(b as Buffer))
  t.notOk(a?.equals(c as Buffer))
})

t.test('each is one line, bounded in length', async (t) => {
  for (const line of lines(1, 3000)) {
    t.equal(line.indexOf(0x0a), line.length - 1)
    t.ok(line.length <= MALFORMED_LINE_BYTES_MAX)
  }
})

t.test('they are hostile in many ways, and most are no records', async (t) => {
  let json = 0
  let utf8 = 0
  let deep = 0
  let long = 0
  const all = lines(2, 3000)
  for (const line of all) {
    const text = line.toString()
    if (text.startsWith('[[[[') || text.startsWith('{"a":{"a":')) deep++
    if (line.length > 10_000) long++
    if (Buffer.from(text).equals(line)) utf8++
    try {
      JSON.parse(text)
      json++
    } catch {}
  }
  t.ok(json > 500 && json < 2700, `${json} are JSON`)
  t.ok(utf8 > 1500 && utf8 < 2990, `${utf8} are UTF-8`)
  t.ok(deep > 50, `${deep} are deeply nested`)
  t.ok(long > 100, `${long} are long`)
})
