import t from 'tap'
import { chooseAddon } from '../../../../src/native/addon.ts'
import { copyKernelOf } from '../../../../src/storage/postgres/copy-kernel.ts'
import { type CopyKernel, jsCopyKernel } from '../../../../src/storage/postgres/encode.ts'
import { columnsOf, ROW_BYTES_MAX, TABLES } from '../../../../src/storage/postgres/tables.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import { KIND, type KindName } from '../../../../src/tick/layout.ts'
import { i64At, NULL_I64, randomBatch, seededRandom } from './batch-fixture.ts'

/** 2000-01-01 in µs since 1970. */
const EPOCH_US = 946_684_800_000_000n

/** What a row must hold: column -> value, null = SQL null. Worked out with BigInt throughout. */
function expectedRow(batch: TickBatch, index: number, kind: KindName, shard: number, seq: number) {
  const ns = i64At(batch, index, 0)
  const us = floorDivide(ns, 1000n)
  const orNull = (value: bigint) => (value === NULL_I64 ? null : value)
  const payload = [4, 5, 6, 7].map((word) => orNull(i64At(batch, index, word)))
  const own: Record<KindName, { four: number[]; two: number[] }> = {
    trade: { four: [], two: [batch.side(index)] },
    quote: { four: [], two: [] },
    book: { four: [], two: [batch.side(index), batch.action(index)] },
    price: { four: [batch.interval(index)], two: [batch.market(index)] },
    status: { four: [], two: [batch.action(index)] },
  }
  return [
    ns === NULL_I64 ? null : us - EPOCH_US,
    (BigInt(shard) << 48n) + BigInt(seq),
    orNull(i64At(batch, index, 1)),
    ...payload,
    BigInt(batch.instrument(index)),
    BigInt(batch.flags(index)),
    ...own[kind].four.map(BigInt),
    ns === NULL_I64 ? null : ns - us * 1000n,
    BigInt(batch.source(index)),
    ...own[kind].two.map(BigInt),
  ]
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a / b - (a % b < 0n ? 1n : 0n)
}

/** Reads one row as PostgreSQL would; returns its values and where the next one begins. */
function readRow(view: DataView, offset: number): { values: (bigint | null)[]; next: number } {
  const values: (bigint | null)[] = []
  let at = offset + 2
  for (let column = 0; column < view.getInt16(offset); column++) {
    const size = view.getInt32(at)
    at += 4
    if (size === -1) values.push(null)
    else if (size === 8) values.push(view.getBigInt64(at))
    else if (size === 4) values.push(BigInt(view.getInt32(at)))
    else if (size === 2) values.push(BigInt(view.getInt16(at)))
    else throw new Error(`a column of ${size} bytes`)
    at += Math.max(0, size)
  }
  return { values, next: at }
}

const WIDTH = { timestamptz: 8, int8: 8, int4: 4, int2: 2 } as const

const native = copyKernelOf(chooseAddon('auto'))
const kernels: CopyKernel[] = native === jsCopyKernel ? [jsCopyKernel] : [jsCopyKernel, native]

const absent = kernels.length === 2 ? false : chooseAddon('auto').why
t.test('the native kernel is under test too', { skip: absent }, async (t) => {
  t.equal(kernels[1]?.name, 'native')
})

for (const kernel of kernels) {
  for (const kind of TABLES) {
    t.test(
      `${kernel.name}: ${kind}: every row is the record, value by value, by BigInt arithmetic`,
      (t) => {
        const random = seededRandom(t)
        const count = 4000
        const batch = randomBatch(count, KIND[kind], random)
        const order = Int32Array.from({ length: count }, (_, i) => count - 1 - i)
        const view = new DataView(
          new ArrayBuffer(count * (ROW_BYTES_MAX[KIND[kind]] as number) + 7),
        )
        const firstSeq = 2 ** 32 - 2000
        const end = kernel.encode(KIND[kind], batch, order, 0, count, 63, firstSeq, view, 7)
        let at = 7
        for (let row = 0; row < count; row++) {
          const index = order[row] as number
          const { values, next } = readRow(view, at)
          const expected = expectedRow(batch, index, kind, 63, firstSeq + index)
          if (values.join() !== expected.join()) t.same(values, expected, `row ${row}`)
          at = next
        }
        t.equal(at, end, 'the returned offset is behind the last row')
        t.end()
      },
    )

    t.test(
      `${kernel.name}: ${kind}: a row without nulls has the columns and widths of the table`,
      (t) => {
        const batch = new TickBatch(1)
        batch.count = 1
        batch.setKindSide(0, KIND[kind], 1)
        const max = ROW_BYTES_MAX[KIND[kind]] as number
        const view = new DataView(new ArrayBuffer(max))
        const order = new Int32Array(1)
        t.equal(kernel.encode(KIND[kind], batch, order, 0, 1, 0, 0, view, 0), max)
        const columns = columnsOf(kind)
        t.equal(view.getInt16(0), columns.length)
        let at = 2
        for (const { name, type } of columns) {
          t.equal(view.getInt32(at), WIDTH[type], name)
          at += 4 + WIDTH[type]
        }
        t.end()
      },
    )
  }

  t.test(`${kernel.name}: an empty range of rows writes nothing`, (t) => {
    const view = new DataView(new ArrayBuffer(8))
    const batch = new TickBatch(1)
    t.equal(kernel.encode(KIND.trade, batch, new Int32Array(1), 0, 0, 0, 0, view, 5), 5)
    t.end()
  })

  t.test(`${kernel.name}: a kind that has no table is a bug`, (t) => {
    const view = new DataView(new ArrayBuffer(200))
    const batch = new TickBatch(1)
    t.throws(() => kernel.encode(0, batch, new Int32Array(1), 0, 1, 0, 0, view, 0), /invariant/)
    t.end()
  })
}
