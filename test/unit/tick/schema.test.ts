import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  ACTION,
  FIELDS,
  FLAG_NAMES,
  KIND,
  MARKET,
  OFFSET,
  SIDE,
  STATUS,
  TICK_BYTES,
} from '../../../src/tick/layout.ts'

const WIDTHS: Record<string, number> = { long: 8, ulong: 8, uint: 4, ushort: 2, ubyte: 1 }
const text = readFileSync(new URL('../../../schema/tick.fbs', import.meta.url), 'utf8')
const schema = text.replaceAll(/\/\/.*$/gm, '')

function body(keyword: string, name: string): string {
  const match = new RegExp(`${keyword} ${name}\\b[^{]*\\{([^}]*)\\}`).exec(schema)
  t.ok(match, `the schema declares ${keyword} ${name}`)
  return match?.[1] ?? ''
}

/** Fields of a struct or table: name, type. */
function fields(keyword: string, name: string): string[][] {
  return [...body(keyword, name).matchAll(/(\w+)\s*:\s*(\[?\w+\]?)\s*;/g)].map((m) => [
    m[1] ?? '',
    m[2] ?? '',
  ])
}

t.test('the struct has the fields of the layout, at their offsets and widths', async (t) => {
  let offset = 0
  const seen: [string, number][] = []
  for (const [name = '', type = ''] of fields('struct', 'Tick')) {
    const width = WIDTHS[type] ?? 0
    t.equal(offset % width, 0, `${name} is aligned: FlatBuffers adds no padding before it`)
    t.equal(offset, OFFSET[name as keyof typeof OFFSET], `offset of ${name}`)
    seen.push([name, width])
    offset += width
  }
  t.same(seen, FIELDS)
  t.equal(offset, TICK_BYTES)
  t.equal(offset % 8, 0, 'no padding at the end')
})

t.test('the enumerations have the numbers of the layout', async (t) => {
  const members = (name: string) =>
    Object.fromEntries(
      [...body('enum', name).matchAll(/(\w+)\s*=\s*(\d+)/g)].map((m) => [m[1], Number(m[2])]),
    )
  t.same(members('Kind'), { none: 0, ...KIND })
  t.same(members('Side'), SIDE)
  t.same(members('Action'), ACTION)
  t.same(members('Status'), STATUS)
  t.same(members('Market'), MARKET)
  t.same(
    [...body('enum', 'Flags').matchAll(/\w+/g)].map(([name]) => name),
    FLAG_NAMES.map((name) => name.toLowerCase()),
  )
})

t.test('a data frame is a stream’s id, epoch, first sequence, and ticks', async (t) => {
  t.same(fields('table', 'Batch'), [
    ['stream', 'uint'],
    ['epoch', 'ulong'],
    ['first_seq', 'ulong'],
    ['ticks', '[Tick]'],
  ])
  t.match(schema, /root_type Batch;/)
})
