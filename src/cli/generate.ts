// tickd generate: made-up ticks as normalised records, for trying things out and for load.
//
//   continuous    at a steady rate, with the time of now, until stopped (or --count)
//   historical    --count ticks spread evenly over --start … --end; the same on every run
//   high-volume   --count ticks as fast as the target takes them
//   malformed     --count hostile lines, reproducible by --seed: what a decoder must survive

import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import { TickdError } from '../errors.ts'
import { MalformedLines } from '../source/malformed.ts'
import { Random } from '../source/random.ts'
import { SyntheticModel } from '../source/synthetic-model.ts'
import { TickBatch } from '../tick/batch.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { tickToJson } from '../tick/json.ts'
import { TIME_SEC_MAX } from '../tick/time.ts'
import { LinePiece } from './line-piece.ts'
import { Progress } from './progress.ts'
import { openTarget, type PushTarget } from './push-target.ts'
import { totalsText } from './replay.ts'

const MODES = ['continuous', 'historical', 'high-volume', 'malformed'] as const
type Mode = (typeof MODES)[number]

const COUNTS: Readonly<Record<Mode, number>> = {
  continuous: Number.POSITIVE_INFINITY,
  historical: 100_000,
  'high-volume': 1_000_000,
  malformed: 1000,
}
const DEFAULT_SYMBOLS = ['BTC-USD', 'ETH-USD', 'SOL-USD', 'EUR-USD', 'PJM.WEST']
const DAY_SEC = 86_400
const SYMBOLS_MAX = 1024
const BATCH_TICKS = 1024
/** Continuous mode sends what is owed this often. */
const TURN_MS = 20
const EXIT_REJECTED = 1

interface GenerateOptions {
  mode: Mode
  rate: number
  count?: number
  seed: number
  venue: string
  symbols: string[]
  start: number
  end?: number
  to: string
  json?: true
}

export function generateCommand(): Command {
  return new Command('generate')
    .description('Make ticks up: normalised records, one JSON object a line.')
    .addOption(new Option('--mode <mode>', 'what to make').choices(MODES).default('continuous'))
    .option('--rate <n>', 'ticks a second (continuous)', positive, 1000)
    .option('--count <n>', 'how many; continuous: until stopped', positive)
    .option('--seed <n>', 'the same seed gives the same prices', wholeNumber, 1)
    .option('--venue <name>', 'venue of the instruments', 'synthetic')
    .option('--symbols <list>', 'symbols, with commas between', symbolList, DEFAULT_SYMBOLS)
    .option('--start <time>', 'first time (historical)', timeOf, timeOf('2024-01-01T00:00:00Z'))
    .option('--end <time>', 'end of the times (historical); a day after the start', timeOf)
    .option('--to <url>', 'http://host:port, tcp://host:port, or - for standard output', '-')
    .option('--json', 'print the totals as one JSON object (not with --to -)')
    .action(async (options: GenerateOptions) => {
      const run = new GenerateRun(options, await openTarget(options.to))
      process.exitCode = await run.all()
    })
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value < 2 ** 32) return value
  throw new InvalidArgumentError('must be a whole number below 2^32')
}

function positive(text: string): number {
  const value = wholeNumber(text)
  if (value > 0) return value
  throw new InvalidArgumentError('must be at least 1')
}

function symbolList(text: string): string[] {
  const symbols = [...new Set(text.split(',').filter((symbol) => symbol !== ''))]
  if (symbols.length > 0 && symbols.length <= SYMBOLS_MAX) return symbols
  throw new InvalidArgumentError(`must be 1 to ${SYMBOLS_MAX} names`)
}

/** Seconds since 1970. */
function timeOf(text: string): number {
  const sec = Date.parse(text) / 1000
  if (sec >= 0 && sec < TIME_SEC_MAX) return sec
  throw new InvalidArgumentError('must be a time such as 2024-01-01T00:00:00Z, 1970 to 2262')
}

class GenerateRun {
  readonly #options: GenerateOptions
  readonly #count: number
  readonly #target: PushTarget
  readonly #piece: LinePiece
  readonly #instruments = new InstrumentTable(InstrumentTable.create(SYMBOLS_MAX), SYMBOLS_MAX)
  readonly #model: SyntheticModel
  readonly #batch = new TickBatch(BATCH_TICKS)
  readonly #progress = new Progress()
  readonly #beganMs = performance.now()
  #made = 0
  #interrupted = false

  constructor(options: GenerateOptions, target: PushTarget) {
    const { mode, venue, symbols, seed, start } = options
    this.#options = options
    this.#count = options.count ?? COUNTS[mode]
    this.#target = target
    this.#piece = new LinePiece(target)
    const instruments = symbols.map((symbol) => {
      const id = this.#instruments.add(venue, symbol)
      if (id === 0) throw new TickdError('USAGE', `--symbols: '${symbol}' is too long for a name`)
      return { id, symbol }
    })
    // Ids in microseconds of time, as the synthetic source gives them: runs do not repeat ids,
    // unless they are to be the same.
    const isRepeatable = mode === 'historical' || mode === 'malformed'
    const firstId = Math.floor((isRepeatable ? start : Date.now() / 1000) * 1e6)
    this.#model = new SyntheticModel({ instruments, seed, source: 0, firstId })
  }

  /** Makes everything, prints the totals, and returns the exit code. */
  async all(): Promise<number> {
    const onSignal = () => {
      this.#interrupted = true
    }
    process.once('SIGINT', onSignal)
    process.once('SIGTERM', onSignal)
    try {
      await this.#make()
      await this.#piece.send()
      await this.#target.end()
    } finally {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
      this.#progress.end()
    }
    this.#printTotals()
    if (this.#options.mode === 'malformed') return 0
    return (this.#target.totals.answers?.rejected ?? 0) > 0 ? EXIT_REJECTED : 0
  }

  get #isOver(): boolean {
    return this.#interrupted || this.#target.isClosed || this.#made >= this.#count
  }

  async #make(): Promise<void> {
    switch (this.#options.mode) {
      case 'continuous':
        return await this.#continuous()
      case 'historical':
        return await this.#historical()
      case 'high-volume':
        return await this.#highVolume()
      case 'malformed':
        return await this.#malformed()
    }
  }

  async #continuous(): Promise<void> {
    const { rate } = this.#options
    while (!this.#isOver) {
      const owed = Math.floor(((performance.now() - this.#beganMs) / 1000) * rate) - this.#made
      // Behind a slow target it makes up for at most a second.
      const count = Math.min(owed, rate, this.#count - this.#made)
      for (let left = count; left > 0; left -= BATCH_TICKS) {
        await this.#now(Math.min(left, BATCH_TICKS))
      }
      await this.#piece.send()
      this.#showProgress()
      await sleep(TURN_MS)
    }
  }

  async #highVolume(): Promise<void> {
    while (!this.#isOver) {
      await this.#now(Math.min(BATCH_TICKS, this.#count - this.#made))
      this.#showProgress()
    }
  }

  /** So many ticks with the time of now. */
  async #now(count: number): Promise<void> {
    const ms = Date.now()
    this.#batch.count = 0
    this.#model.fill(this.#batch, count, Math.floor(ms / 1000), (ms % 1000) * 1e6)
    await this.#send()
  }

  async #historical(): Promise<void> {
    const { start, end = start + DAY_SEC } = this.#options
    if (end <= start) throw new TickdError('USAGE', '--end: must be after --start')
    while (!this.#isOver) {
      this.#batch.count = 0
      for (let left = Math.min(BATCH_TICKS, this.#count - this.#made); left > 0; left--) {
        const index = this.#made + this.#batch.count
        const at = start + ((end - start) * index) / this.#count
        const sec = Math.floor(at)
        this.#model.tick(this.#batch, sec, Math.floor((at - sec) * 1e9))
      }
      await this.#send()
      this.#showProgress()
    }
  }

  async #malformed(): Promise<void> {
    const { seed, start } = this.#options
    const good = () => {
      this.#batch.count = 0
      this.#model.tick(this.#batch, Math.floor(start), 0)
      return tickToJson(this.#batch, 0, this.#instruments)
    }
    const lines = new MalformedLines(new Random(seed), good)
    while (!this.#isOver) {
      this.#made++
      await this.#target.write(lines.next(), 1)
      this.#showProgress()
    }
  }

  async #send(): Promise<void> {
    const batch = this.#batch
    this.#made += batch.count
    for (let index = 0; index < batch.count; index++) {
      if (this.#piece.add(tickToJson(batch, index, this.#instruments))) await this.#piece.send()
    }
  }

  #showProgress(): void {
    // On standard output the lines themselves are to be seen.
    if (this.#options.to !== '-') this.#progress.show(() => `${this.#made} of ${this.#count} made`)
  }

  #printTotals(): void {
    if (this.#options.to === '-') return
    const seconds = (performance.now() - this.#beganMs) / 1000
    const { lines, bytes, answers } = this.#target.totals
    const totals = {
      lines,
      bytes,
      ...answers,
      seconds: Math.round(seconds * 1000) / 1000,
      lines_per_second: Math.round(lines / Math.max(seconds, 1e-3)),
    }
    process.stdout.write(this.#options.json ? `${JSON.stringify(totals)}\n` : totalsText(totals))
  }
}
