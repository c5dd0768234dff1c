// COPY rows alone: records in a batch -> rows of PostgreSQL's binary COPY format, JS and native.
//
//   TickBatch of 4,096 trades, as the journal gives them ─▶ CopyKernel ─▶ a piece of 64 KiB or so
//
// Yardstick: a copy of as many bytes as the rows have, by TypedArray.set. Few rows in a call are
// measured as well: what a crossing costs. Figures are per second of this process's CPU time.
// Verified: native rows are the JS ones, byte by byte.

import { chooseAddon } from '../src/native/addon.ts'
import { copyKernelOf } from '../src/storage/postgres/copy-kernel.ts'
import { type CopyKernel, jsCopyKernel } from '../src/storage/postgres/encode.ts'
import { ROW_BYTES_MAX } from '../src/storage/postgres/tables.ts'
import { TickBatch } from '../src/tick/batch.ts'
import { writeInteger, writeNull, writeSplit } from '../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_WORDS, WORD } from '../src/tick/layout.ts'
import {
  atLeast,
  type Bench,
  type BenchOptions,
  figureText,
  goalsText,
  headText,
  median,
  type Report,
} from './bench.ts'

const BATCH_TICKS = 4096
/** Rows in a call: a piece's, and very few. */
const ROWS_PER_CALL = [512, 1]
const FIRST_SEC = 1_723_161_256
const GOAL_NATIVE = 10

type Size = 'rounds' | 'ticks'

interface EncodeCase {
  rowsPerCall: number
  /** Rows a CPU second, in each round. */
  memoryCopy: number[]
  js: number[]
  /** Empty where the native kernels are not built. */
  native: number[]
}

export const encodeBench: Bench<Size> = {
  name: 'encode',
  summary: 'Trades to COPY rows, JS and native, beside a copy of as many bytes',
  full: { rounds: 9, ticks: 2_000_000 },
  smoke: { rounds: 1, ticks: 50_000 },
  run,
  text,
}

async function run(options: BenchOptions<Size>): Promise<Report> {
  const choice = chooseAddon('auto')
  const native = choice.name === 'native' ? copyKernelOf(choice) : undefined
  const rig = new Rig()
  const rowBytes = rig.verify(native)
  const cases = ROWS_PER_CALL.map((rowsPerCall) => {
    options.progress(`${rowsPerCall} rows a call`)
    return runCase(rig, native, rowsPerCall, options)
  })
  const whole = cases[0] as EncodeCase
  const figure = median(whole.native.length > 0 ? whole.native : whole.js) / 1e6
  const what = `COPY rows, ${native === undefined ? 'JS' : 'native'}`
  return {
    ticks: options.ticks,
    native: choice.why,
    rowBytes,
    cases,
    rounds: cases,
    goals: native === undefined ? [] : [atLeast(GOAL_NATIVE, what, figure, 'M rows/s')],
  }
}

function runCase(
  rig: Rig,
  native: CopyKernel | undefined,
  rowsPerCall: number,
  options: BenchOptions<Size>,
): EncodeCase {
  const result: EncodeCase = { rowsPerCall, memoryCopy: [], js: [], native: [] }
  const passes = Math.max(1, Math.round(options.ticks / BATCH_TICKS))
  // The first round warms up, and is not counted.
  for (let round = -1; round < options.rounds; round++) {
    const figures: [number[], () => number][] = [
      [result.memoryCopy, () => rig.copy(rowsPerCall)],
      [result.js, () => rig.encode(jsCopyKernel, rowsPerCall)],
    ]
    if (native !== undefined) figures.push([result.native, () => rig.encode(native, rowsPerCall)])
    for (const [into, pass] of figures) {
      const started = process.cpuUsage()
      for (let i = 0; i < passes; i++) pass()
      const { user, system } = process.cpuUsage(started)
      if (round >= 0) into.push((passes * BATCH_TICKS * 1e6) / (user + system))
    }
  }
  return result
}

class Rig {
  readonly #batch = new TickBatch(BATCH_TICKS)
  readonly #order = Int32Array.from({ length: BATCH_TICKS }, (_, i) => i)
  readonly #out: Uint8Array
  readonly #view: DataView
  readonly #ready: Uint8Array
  #rowBytes = 0

  constructor() {
    const { words } = this.#batch
    this.#batch.count = BATCH_TICKS
    for (let i = 0; i < BATCH_TICKS; i++) {
      const at = i * TICK_WORDS
      this.#batch.setKindSide(i, KIND.trade, i % 2 === 0 ? SIDE.buy : SIDE.sell)
      this.#batch.setInstrument(i, 1 + (i % 100))
      writeSplit(words, at + WORD.ts_event, false, FIRST_SEC, i * 1001)
      writeSplit(words, at + WORD.ts_recv, false, FIRST_SEC, i * 1001 + 7)
      writeInteger(words, at + WORD.p0, 61_800e9 + i * 1e7)
      writeInteger(words, at + WORD.p1, 50_000_000 + i)
      writeInteger(words, at + WORD.p2, 5_266_583_935 + i)
      writeNull(words, at + WORD.p3)
    }
    const size = BATCH_TICKS * (ROW_BYTES_MAX[KIND.trade] as number)
    this.#out = new Uint8Array(size)
    this.#view = new DataView(this.#out.buffer)
    this.#ready = new Uint8Array(size).fill(1)
  }

  /** Rows of the whole batch in calls of so many, each at the buffer's begin. Returns the bytes. */
  encode(kernel: CopyKernel, rowsPerCall: number): number {
    let bytes = 0
    for (let from = 0; from < BATCH_TICKS; from += rowsPerCall) {
      const to = from + rowsPerCall
      bytes += kernel.encode(KIND.trade, this.#batch, this.#order, from, to, 1, 7, this.#view, 0)
    }
    return bytes
  }

  copy(rowsPerCall: number): number {
    const size = rowsPerCall * this.#rowBytes
    for (let from = 0; from < BATCH_TICKS; from += rowsPerCall) {
      const start = from * this.#rowBytes
      this.#out.set(this.#ready.subarray(start, start + size))
    }
    return BATCH_TICKS * this.#rowBytes
  }

  /** Returns the bytes of a row. */
  verify(native: CopyKernel | undefined): number {
    const size = this.encode(jsCopyKernel, BATCH_TICKS)
    const expected = this.#out.slice(0, size)
    this.#rowBytes = size / BATCH_TICKS
    if (native === undefined) return this.#rowBytes
    this.#out.fill(0)
    const found = this.encode(native, BATCH_TICKS)
    if (found !== size || Buffer.compare(expected, this.#out.subarray(0, size)) !== 0) {
      throw new Error('native rows are not the JS ones')
    }
    return this.#rowBytes
  }
}

function text(report: Report): string {
  const lines = (report.cases as EncodeCase[]).map((each) => {
    const figures: [label: string, values: number[]][] = [
      ['copy of as many bytes', each.memoryCopy],
      ['JS kernel', each.js],
      ['native kernel', each.native],
    ]
    const rows = figures
      .filter(([, values]) => values.length > 0)
      .map(([label, values]) => {
        const millions = values.map((value) => value / 1e6)
        return figureText(`  ${label}`, millions, 2, 'M rows/s')
      })
    return `  ${each.rowsPerCall} rows a call\n${rows.join('')}`
  })
  return (
    headText(report, `trades to COPY rows of ${report.rowBytes} bytes, one core`) +
    `native kernels: ${report.native}\n${lines.join('')}${goalsText(report)}`
  )
}
