// One file of the simulated disk: what a process reads, and what a power cut would leave of it.
//
// Sectors that were written since the last sync are dirty. A sync that fails leaves each of them on
// the disk or not, and clean either way: the next sync says nothing of them.

import type { Random } from '../../src/source/random.ts'

const FIRST_BYTES = 4096

export class SimulatedFile {
  sizeBytes = 0
  readonly #sectorBytes: number
  #cached = new Uint8Array(FIRST_BYTES)
  #durable = new Uint8Array(FIRST_BYTES)
  #durableBytes = 0
  readonly #dirty = new Set<number>()

  constructor(sectorBytes: number) {
    this.#sectorBytes = sectorBytes
  }

  read(into: Uint8Array, offset: number): number {
    const size = Math.max(0, Math.min(into.length, this.sizeBytes - offset))
    into.set(this.#cached.subarray(offset, offset + size))
    return size
  }

  write(bytes: Uint8Array, offset: number): void {
    const end = offset + bytes.length
    this.#reserve(end)
    this.#cached.set(bytes, offset)
    this.#touch(Math.min(offset, this.sizeBytes), end)
    this.sizeBytes = Math.max(this.sizeBytes, end)
  }

  truncate(sizeBytes: number): void {
    this.#reserve(sizeBytes)
    if (sizeBytes < this.sizeBytes) this.#cached.fill(0, sizeBytes, this.sizeBytes)
    this.#touch(Math.min(sizeBytes, this.sizeBytes), Math.max(sizeBytes, this.sizeBytes))
    this.sizeBytes = sizeBytes
  }

  sync(): void {
    for (const sector of this.#dirty) this.#settle(sector)
    this.#dirty.clear()
    this.#durableBytes = this.sizeBytes
  }

  /** Some of what was dirty is lost, and nobody will say so again. */
  failSync(random: Random): void {
    for (const sector of this.#dirty) if (random.below(2) === 0) this.#settle(sector)
    this.#dirty.clear()
    this.#durableBytes = random.below(2) === 0 ? this.sizeBytes : this.#durableBytes
  }

  /** Power is cut. Returns how many dirty sectors were lost, and torn. */
  loseUnsynced(random: Random): { lost: number; torn: number } {
    let lost = 0
    let torn = 0
    // All, none or any: a disk that had time, one that had none, and one that was at it.
    const mode = random.below(4)
    for (const sector of this.#dirty) {
      const survives = mode === 0 || (mode > 1 && random.below(2) === 0)
      if (survives && random.below(8) === 0) {
        torn++
        this.#settle(sector, random.below(this.#sectorBytes))
      } else if (survives) this.#settle(sector)
      else lost++
    }
    this.#dirty.clear()
    const low = Math.min(this.#durableBytes, this.sizeBytes)
    const high = Math.max(this.#durableBytes, this.sizeBytes)
    if (mode === 0) this.#durableBytes = this.sizeBytes
    else if (mode > 1) this.#durableBytes = low + random.below(high - low + 1)
    this.sizeBytes = this.#durableBytes
    this.#durable.fill(0, this.sizeBytes)
    this.#cached.set(this.#durable)
    return { lost, torn }
  }

  /** Flips one bit on the disk and in the cache. Returns what puts it right, if it still is so. */
  flipBit(offset: number, bit: number): () => void {
    const sound = this.#cached[offset] as number
    const flipped = sound ^ (1 << bit)
    for (const bytes of [this.#cached, this.#durable]) bytes[offset] = flipped
    return () => {
      // What was written since is left alone; what was read and written back is flipped still.
      for (const bytes of [this.#cached, this.#durable]) {
        if (offset < this.sizeBytes && bytes[offset] === flipped) bytes[offset] = sound
      }
    }
  }

  /** The sector's first `size` bytes are on the disk. */
  #settle(sector: number, size = this.#sectorBytes): void {
    const start = sector * this.#sectorBytes
    this.#durable.set(this.#cached.subarray(start, start + size), start)
  }

  #touch(from: number, to: number): void {
    const last = Math.floor((to - 1) / this.#sectorBytes)
    for (let at = Math.floor(from / this.#sectorBytes); at <= last; at++) this.#dirty.add(at)
  }

  #reserve(sizeBytes: number): void {
    // Whole sectors, so that the last one can be settled without a special case.
    const needed = Math.ceil(sizeBytes / this.#sectorBytes) * this.#sectorBytes
    if (needed <= this.#cached.length) return
    const capacity = Math.max(needed, this.#cached.length * 2)
    this.#cached = grown(this.#cached, capacity)
    this.#durable = grown(this.#durable, capacity)
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, capacity: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(capacity)
  larger.set(bytes)
  return larger
}
