// The client's own readers against the libraries that the server writes with, and Node's.

import { crc32 as zlibCrc32 } from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import { crc32, crcText } from '../../../client/crc32.ts'
import { decimalText, textMs, timeText } from '../../../client/decimal.ts'
import { readFlatFrame } from '../../../client/flat-batch.ts'
import { readMsgpack } from '../../../client/msgpack.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
t.comment(`TICKD_SEED=${seed}`)

t.test('MessagePack reads back as it was written', async (t) => {
  const value = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, false),
      fc.integer({ min: -(2 ** 40), max: 2 ** 52 }),
      fc.double({ noNaN: true }),
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.array(tie('value'), { maxLength: 20 }),
      fc.dictionary(
        fc.string({ maxLength: 20 }).filter((key) => key !== '__proto__'),
        tie('value'),
        { noNullPrototype: true, maxKeys: 20 },
      ),
    ),
  })).value
  fc.assert(
    fc.property(value, (written) => {
      return JSON.stringify(readMsgpack(encode(written))) === JSON.stringify(written)
    }),
    { seed, numRuns: 200 },
  )
  const long = Array.from({ length: 70_000 }, (_, i) => i)
  t.same(readMsgpack(encode(long)), long, 'lists with four bytes of length')
})

t.test('MessagePack that ends early or is none throws', async (t) => {
  const bytes = encode({ s: 1, t: ['abc', 'def'] })
  for (let size = 0; size < bytes.length; size++) {
    t.throws(() => readMsgpack(bytes.subarray(0, size)), { name: 'RangeError' })
  }
  t.throws(() => readMsgpack(new Uint8Array([0xc1])), { name: 'RangeError' })
})

t.test('a FlatBuffers frame cut anywhere throws and reads nothing beside it', async (t) => {
  const hex =
    '100000000c001c0004000800100018000c00000001000000a75ab5660000000' +
    '02a000000000000000400000001000000' +
    '009a632b08e6e91780be742b08e6e917010000000200010101000000000000' +
    '0080638169263800008' +
    '0f0fa020000000087d61200000000000000000000000000'
  const bytes = new Uint8Array(Buffer.from(hex, 'hex'))
  t.equal(bytes.length, 112)
  t.match(readFlatFrame(bytes), { head: { stream: 1, epoch: 1723161255, firstSeq: 42 }, count: 1 })
  for (let size = 0; size < bytes.length; size++) {
    t.throws(() => readFlatFrame(bytes.slice(0, size)), { name: 'RangeError' }, `${size} bytes`)
  }
})

t.test('decimals and times are exact', async (t) => {
  t.equal(decimalText(61_737_630_000_000n, 9), '61737.63')
  t.equal(decimalText(-1n, 9), '-0.000000001')
  t.equal(decimalText(0n, 9), '0')
  t.equal(decimalText(-5_000_000_000n, 9), '-5')
  t.equal(decimalText(2n ** 63n - 1n, 9), '9223372036.854775807')
  t.equal(decimalText(-(2n ** 63n), 9), null)
  t.equal(timeText(1_723_161_255_208_000_001n), '2024-08-08T23:54:15.208000001Z')
  t.equal(timeText(-(2n ** 63n)), null)
  t.equal(textMs('2024-08-08T23:54:15.208500000Z'), 1_723_161_255_208.5)
  t.ok(Number.isNaN(textMs(null)))
})

t.test('the digest is that of zlib, also over several buffers', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (one, two) => {
      const both = Buffer.concat([one, two])
      return crc32(two, crc32(one, 0)) === zlibCrc32(both)
    }),
    { seed },
  )
  t.equal(crcText(0), '00000000')
  t.equal(crcText(crc32(new TextEncoder().encode('123456789'), 0)), 'cbf43926')
})
