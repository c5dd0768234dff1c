// Counters in shared memory: each has one writing thread and any number of readers.
//
// A set is one agent's (or one source's) block of named numbers; what sets exist is in
// counter-catalog.ts. Values are doubles, exact to 2^53. Plain loads and stores: a counter has one
// writer, an aligned 64-bit store is a single instruction on every platform we run on, and a
// reader that is one batch late is in time. Counters only grow; a gauge may be set.

/** What a reader needs of counters. */
export interface CounterReader<Name extends string = string> {
  get(name: Name): number
}

export class CounterSet<Name extends string = string> implements CounterReader<Name> {
  readonly names: readonly Name[]
  readonly values: Float64Array

  /** `memory` and `byteOffset`: a block of names.length doubles; private memory if not given. */
  constructor(names: readonly Name[], memory?: SharedArrayBuffer, byteOffset = 0) {
    this.names = names
    this.values =
      memory === undefined
        ? new Float64Array(names.length)
        : new Float64Array(memory, byteOffset, names.length)
  }

  /** The index of a counter, for `values[index] += n` on the hot path. */
  index(name: Name): number {
    return this.names.indexOf(name)
  }

  add(name: Name, n = 1): void {
    const index = this.index(name)
    this.values[index] = (this.values[index] as number) + n
  }

  /** Sets a gauge. */
  set(name: Name, value: number): void {
    this.values[this.index(name)] = value
  }

  get(name: Name): number {
    return this.values[this.index(name)] ?? 0
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.names.map((name, i) => [name, this.values[i] ?? 0]))
  }
}

/** Counters of one set that several threads write, each a block of its own, read as their sums. */
export class CounterSums<Name extends string = string> implements CounterReader<Name> {
  readonly #sets: readonly CounterReader<Name>[]

  constructor(sets: readonly CounterReader<Name>[]) {
    this.#sets = sets
  }

  get(name: Name): number {
    return this.#sets.reduce((sum, set) => sum + set.get(name), 0)
  }
}
