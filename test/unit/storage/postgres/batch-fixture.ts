// Batches of random and boundary values, for everything that encodes or stores them.

import { TickBatch } from '../../../../src/tick/batch.ts'

export const NULL_I64 = -(2n ** 63n)

/** i64s at which carries, signs, days and microseconds turn. */
const BOUNDARIES: readonly bigint[] = [
  ...[0n, 1n, -1n, 999n, 1000n, -999n, -1000n, -1001n, NULL_I64, NULL_I64 + 1n, 2n ** 63n - 1n],
  ...[2n ** 31n, -(2n ** 31n), 2n ** 32n, 2n ** 32n - 1n, -(2n ** 32n), 2n ** 53n, -(2n ** 53n)],
  ...[946_684_800_000_000_000n, 946_684_799_999_999_999n, 1_772_323_200_000_000_000n],
  ...[1_772_323_199_999_999_999n, 86_399_999_999_999n, 86_400_000_000_000n, -86_400_000_000_001n],
]

interface Comments {
  comment(text: string): void
}

/** Numbers in [0, 1); the seed is printed, and taken from TICKD_SEED. */
export function seededRandom(t: Comments): () => number {
  const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 32))
  t.comment(`TICKD_SEED=${seed}`)
  let state = seed >>> 0
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0
    let z = Math.imul(state ^ (state >>> 15), state | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
}

/** i64 field `word` (of eight) of tick `index`. */
export function i64At(batch: TickBatch, index: number, word: number): bigint {
  return new BigInt64Array(batch.bytes.buffer, batch.bytes.byteOffset)[index * 8 + word] as bigint
}

export function setI64(batch: TickBatch, index: number, word: number, value: bigint): void {
  new BigInt64Array(batch.bytes.buffer, batch.bytes.byteOffset)[index * 8 + word] = value
}

/** A full batch of one kind, or of all of them in turn (kind 0). */
export function randomBatch(count: number, kind: number, random: () => number): TickBatch {
  const batch = new TickBatch(count)
  batch.count = count
  for (let index = 0; index < count; index++) {
    for (const word of [0, 1, 4, 5, 6, 7]) setI64(batch, index, word, randomI64(random))
    batch.setInstrument(index, 1 + Math.floor(random() * 3))
    batch.setSource(index, Math.floor(random() * 256))
    batch.setFlags(index, Math.floor(random() * 2 ** 11))
    batch.setKindSide(index, kind === 0 ? 1 + (index % 5) : kind, Math.floor(random() * 3))
    batch.setAction(index, Math.floor(random() * 4))
    batch.setMarket(index, Math.floor(random() * 4), Math.floor(random() * 65_536))
  }
  return batch
}

function randomI64(random: () => number): bigint {
  const pick = random()
  if (pick < 0.4) return BOUNDARIES[Math.floor(random() * BOUNDARIES.length)] as bigint
  const bits = BigInt(Math.floor(random() * 2 ** 32)) << 32n
  const value = BigInt.asIntN(64, bits | BigInt(Math.floor(random() * 2 ** 32)))
  // Small ones too, and times of our days.
  if (pick < 0.6) return value >> 40n
  if (pick < 0.8) return 1_700_000_000_000_000_000n + (value >> 10n)
  return value
}
