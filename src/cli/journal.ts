// tickd journal stat|verify|dump DIR: what is in the journal, whether it is whole, its records.
//
// DIR is the state directory, its journal/, or one shard-<n>/ in it. All three only read, and may
// run beside the daemon.

import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { TickdError } from '../errors.ts'
import { JournalReader } from '../journal/reader.ts'
import { type JournalStat, statJournal } from '../journal/stat.ts'
import { type VerifyReport, verifyJournal } from '../journal/verify.ts'
import { INSTRUMENTS_MAX, SEQ_MAX } from '../limits.ts'
import { TickBatch } from '../tick/batch.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { InstrumentTable } from '../tick/instruments.ts'
import { tickToJson } from '../tick/json.ts'
import { formatTime } from '../tick/time.ts'

const DUMP_BATCH_TICKS = 1024
const PROGRESS_EVERY_MS = 200
const SHARD_NAME = /^shard-(\d+)$/

interface ShardDirectory {
  shard: number
  directory: string
}

export function journalCommand(): Command {
  const journal = new Command('journal').description('Look into the journal: the durable log.')
  journal
    .command('stat')
    .description('Segments, bytes, records, epochs, sequences and times of each shard.')
    .argument('<dir>', 'state directory, its journal/, or a shard in it')
    .option('--json', 'print one JSON object')
    .action((dir: string, options: { json?: true }) => printStat(dir, options.json === true))
  journal
    .command('verify')
    .description('Check every checksum and the order of all sequences. Exit code 1 on faults.')
    .argument('<dir>', 'state directory, its journal/, or a shard in it')
    .option('--json', 'print one JSON object')
    .action((dir: string, options: { json?: true }) => printVerify(dir, options.json === true))
  journal
    .command('dump')
    .description('Print the records of a shard, one JSON object a line.')
    .argument('<dir>', 'state directory, its journal/, or a shard in it')
    .option('--shard <n>', 'which shard, where there are several', wholeNumber)
    .option('--from <seq>', 'first sequence; the oldest if not given', wholeNumber)
    .option('--limit <n>', 'most records; all if not given', wholeNumber)
    .action(dump)
  return journal
}

function printStat(dir: string, asJson: boolean): void {
  const shards = shardDirectories(dir).map(({ shard, directory }) =>
    statObject(shard, directory, statJournal(directory)),
  )
  if (asJson) {
    process.stdout.write(`${JSON.stringify({ shards })}\n`)
    return
  }
  for (const { epochs, ...rest } of shards) {
    for (const [name, value] of Object.entries(rest)) print(name, value)
    for (const { epoch, first_seq, next_seq } of epochs) {
      print('epoch', `${epoch}: ${first_seq} … ${next_seq - 1}`)
    }
  }
}

function statObject(shard: number, directory: string, stat: JournalStat) {
  return {
    shard,
    directory,
    segments: stat.segmentCount,
    bytes: stat.sizeBytes,
    records: stat.recordCount,
    first_seq: stat.recordCount === 0 ? null : stat.firstSeq,
    last_seq: stat.recordCount === 0 ? null : stat.nextSeq - 1,
    created: timeText(stat.createdNs),
    written: timeText(stat.writtenNs),
    sealed: stat.isSealed,
    epochs: stat.epochs.map(({ epoch, firstSeq, nextSeq }) => ({
      epoch,
      first_seq: firstSeq,
      next_seq: nextSeq,
    })),
  }
}

function printVerify(dir: string, asJson: boolean): void {
  const shards = shardDirectories(dir).map(({ shard, directory }) => {
    const report = verifyJournal(directory, progressOf(`verify shard ${shard}`))
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
    return verifyObject(shard, directory, report)
  })
  const isWhole = shards.every(({ faults }) => faults.length === 0)
  if (!isWhole) process.exitCode = 1
  if (asJson) {
    process.stdout.write(`${JSON.stringify({ ok: isWhole, shards })}\n`)
    return
  }
  for (const { faults, ...rest } of shards) {
    for (const [name, value] of Object.entries(rest)) print(name, value)
    for (const fault of faults) {
      const { file, offset, bytes, what } = fault
      print('fault', `${file}: offset ${offset}, ${bytes} bytes, ${affected(fault)}: ${what}`)
    }
    print('result', faults.length === 0 ? 'whole' : 'damaged')
  }
}

function verifyObject(shard: number, directory: string, report: VerifyReport) {
  return {
    shard,
    directory,
    segments: report.segmentCount,
    blocks: report.blockCount,
    records: report.recordCount,
    first_seq: report.firstSeq,
    next_seq: report.nextSeq,
    tail_bytes: report.tailBytes,
    faults_unlisted: report.faultsUnlisted,
    durable_seq: report.known?.durable ?? null,
    stored_seq: storedSeq(report),
    faults: report.faults.map(({ file, offset, sizeBytes, what, fromSeq, toSeq, ...times }) => ({
      file,
      offset,
      bytes: sizeBytes,
      what,
      from: fromSeq,
      to: toSeq,
      written_after: timeText(times.afterNs || undefined),
      written_before: timeText(times.beforeNs || undefined),
      not_stored: notStored(report, fromSeq, toSeq),
    })),
  }
}

/** Next sequence after those that PostgreSQL had; null where that is not known, or it is off. */
function storedSeq({ known }: VerifyReport): number | null {
  return known === undefined || known.stored === SEQ_MAX ? null : known.stored
}

/** How many of the records PostgreSQL may lack, as far as the positions file says. */
function notStored(report: VerifyReport, fromSeq: number, toSeq: number): number {
  return Math.max(0, toSeq - Math.max(fromSeq, storedSeq(report) ?? 0))
}

type Fault = ReturnType<typeof verifyObject>['faults'][number]

function affected({ from, to, written_after, written_before, not_stored }: Fault): string {
  if (from >= to) return 'no record'
  const times = `written ${written_after ?? '?'} to ${written_before ?? '?'}`
  return `records ${from} … ${to - 1} (${times}; ${not_stored} perhaps not in PostgreSQL)`
}

async function dump(
  dir: string,
  options: { shard?: number; from?: number; limit?: number },
): Promise<void> {
  const { directory } = theShard(dir, options.shard)
  const { firstSeq, nextSeq } = statJournal(directory)
  const fromSeq = options.from ?? firstSeq
  if (fromSeq > nextSeq) throw usage(`--from ${fromSeq} is beyond the journal's end, ${nextSeq}`)
  const endSeq = Math.min(nextSeq, fromSeq + (options.limit ?? SEQ_MAX))
  const instruments = loadInstruments(directory)
  const reader = new JournalReader({ directory, fromSeq, durable: () => endSeq })
  const batch = new TickBatch(DUMP_BATCH_TICKS)
  const output = new LineOutput()
  try {
    while (!output.isClosed && reader.read(batch) > 0) {
      const first = reader.seq - batch.count
      let lines = ''
      for (let i = 0; i < batch.count; i++) {
        lines += `${tickToJson(batch, i, instruments, first + i)}\n`
      }
      await output.write(lines)
    }
  } finally {
    reader.close()
  }
}

/** stdout with back-pressure; a reader that goes away (`| head`) ends the output, not in error. */
class LineOutput {
  isClosed = false

  constructor() {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.isClosed = true
    })
  }

  async write(text: string): Promise<void> {
    if (process.stdout.write(text)) return
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(
      () => {},
    )
  }
}

/** The instruments of the state directory that the shard lies in. */
function loadInstruments(directory: string): InstrumentTable {
  const memory = InstrumentTable.create(INSTRUMENTS_MAX)
  const path = join(dirname(dirname(directory)), 'instruments.jsonl')
  if (existsSync(path)) new InstrumentLog(path).load(memory, INSTRUMENTS_MAX, 'ignore')
  else process.stderr.write(`tickd: ${path} is missing: venues and symbols are shown as null\n`)
  return new InstrumentTable(memory, INSTRUMENTS_MAX)
}

function theShard(dir: string, wanted: number | undefined): ShardDirectory {
  const shards = shardDirectories(dir)
  const matching = wanted === undefined ? shards : shards.filter(({ shard }) => shard === wanted)
  const names = shards.map(({ shard }) => shard).join(', ')
  if (matching.length > 1) throw usage(`${dir} has shards ${names}: name one with --shard`)
  if (matching[0] === undefined) throw usage(`${dir} has no shard ${wanted}, only ${names}`)
  return matching[0]
}

/** The shards that `dir` stands for, ascending. */
function shardDirectories(dir: string): ShardDirectory[] {
  const absolute = resolve(dir)
  const own = SHARD_NAME.exec(basename(absolute))
  if (own !== null && existsSync(absolute)) return [{ shard: Number(own[1]), directory: absolute }]
  for (const parent of [join(absolute, 'journal'), absolute]) {
    if (!existsSync(parent)) continue
    const shards = readdirSync(parent).flatMap((name) => {
      const match = SHARD_NAME.exec(name)
      return match === null ? [] : [{ shard: Number(match[1]), directory: join(parent, name) }]
    })
    if (shards.length > 0) return shards.sort((a, b) => a.shard - b.shard)
  }
  throw usage(`${dir} is no journal: give the state directory, its journal/ or a shard-<n>/ in it`)
}

/** Shows how far a long reading is, on a terminal. */
function progressOf(what: string): (bytesRead: number, bytesAll: number) => void {
  if (!process.stderr.isTTY) return () => {}
  let dueMs = performance.now() + PROGRESS_EVERY_MS
  return (bytesRead, bytesAll) => {
    if (performance.now() < dueMs) return
    dueMs = performance.now() + PROGRESS_EVERY_MS
    const percent = Math.floor((100 * bytesRead) / Math.max(bytesAll, 1))
    process.stderr.write(`\r${what}: ${percent} % of ${Math.ceil(bytesAll / 1e6)} MB`)
  }
}

function print(name: string, value: unknown): void {
  process.stdout.write(`${name.padEnd(16)} ${value ?? '-'}\n`)
}

function timeText(ns: bigint | undefined): string | null {
  if (ns === undefined) return null
  return formatTime(Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n))
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > SEQ_MAX) throw new InvalidArgumentError('not a whole number')
  return value
}

function usage(message: string): TickdError {
  return new TickdError('USAGE', message)
}
