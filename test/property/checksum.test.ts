// The checksum of the native kernels against zlib's: every short length at every alignment, long
// ones of random content, in one piece and in two. TICKD_SEED repeats a run.

import { crc32 as zlibCrc32 } from 'node:zlib'
import t from 'tap'
import { chooseAddon } from '../../src/native/addon.ts'
import { checksumOf, crc32, zlibChecksum } from '../../src/native/checksum.ts'
import { Random } from '../../src/source/random.ts'
import { nativeAbsent } from '../support/kernel-pair.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const LENGTH_MAX = 300
const ALIGNMENTS = 64
const LONG_COUNT = 2_000
const LONG_BYTES_MAX = 200_000
t.comment(`TICKD_SEED=${seed}`)

const random = new Random(seed)
/** Shared, as rings are. */
const memory = new Uint8Array(new SharedArrayBuffer(LONG_BYTES_MAX + ALIGNMENTS))
for (let i = 0; i < memory.length; i++) memory[i] = random.below(256)

const noCpu = nativeAbsent() || (chooseAddon('native').addon?.crc32 ? false : 'not on this CPU')
const implementations = [
  { name: 'zlib', skip: false as const, of: () => zlibChecksum },
  { name: 'native', skip: noCpu, of: () => checksumOf(chooseAddon('native')) },
  { name: 'the active one', skip: false as const, of: () => crc32 },
]
for (const { name, skip, of } of implementations) {
  t.test(`${name}: short ones at every alignment`, { skip }, async (t) => {
    const checksum = of()
    let wrong = ''
    for (let size = 0; size <= LENGTH_MAX; size++) {
      for (let start = 0; start < ALIGNMENTS; start++) {
        const end = start + size
        const expected = zlibCrc32(memory.subarray(start, end))
        const cut = start + random.below(size + 1)
        const inTwo = checksum(memory, cut, end, checksum(memory, start, cut, 0))
        if (checksum(memory, start, end, 0) !== expected) wrong ||= `${size} bytes at ${start}`
        if (inTwo !== expected) wrong ||= `${size} bytes at ${start}, cut at ${cut}`
      }
    }
    t.equal(wrong, '')
  })

  t.test(`${name}: long ones, in one piece and in two`, { skip }, async (t) => {
    const checksum = of()
    let wrong = ''
    for (let i = 0; i < LONG_COUNT; i++) {
      const start = random.below(ALIGNMENTS)
      const end = start + random.below(LONG_BYTES_MAX >> random.below(10))
      const cut = start + random.below(end - start + 1)
      const expected = zlibCrc32(memory.subarray(start, end))
      if (checksum(memory, start, end, 0) !== expected) wrong ||= `${start} … ${end}`
      const inTwo = checksum(memory, cut, end, checksum(memory, start, cut, 0))
      if (inTwo !== expected) wrong ||= `${start} … ${cut} … ${end}`
    }
    t.equal(wrong, '')
  })

  t.test(`${name}: nothing changes nothing`, { skip }, async (t) => {
    const checksum = of()
    t.equal(checksum(new Uint8Array(0), 0, 0, 0), 0)
    t.equal(checksum(memory, 5, 5, 0xdeadbeef), 0xdeadbeef)
    t.equal(checksum(Buffer.from('123456789'), 0, 9, 0), 0xcbf43926)
  })
}

t.test('what is out of bounds is refused, not read', { skip: noCpu }, async (t) => {
  const native = chooseAddon('native').addon
  const small = new Uint8Array(8)
  for (const [start, end] of [
    [0, 9],
    [-1, 4],
    [5, 4],
    [0, Number.NaN],
    [0, 2 ** 53],
  ] as const) {
    t.throws(() => native?.crc32?.(small, start, end, 0), TypeError, `${start} … ${end}`)
  }
  t.throws(() => native?.crc32?.(new Int32Array(8) as unknown as Uint8Array, 0, 4, 0), TypeError)
})
