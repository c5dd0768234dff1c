// tickd dlq list|show|replay|purge: what was refused, why, and what to do with it.
//
// Asks the running daemon. With --dir, list, show and purge read the files of one that does not
// run; replay needs the daemon, for what is driven again goes the way of every tick.

import { Command, InvalidArgumentError } from 'commander'
import { TickdError } from '../errors.ts'
import { LETTERS_LISTED_MAX, LETTERS_PER_CALL_MAX } from '../limits.ts'
import { type PurgeResult, purgeLetters } from '../validate/dead-letter-purge.ts'
import { letterFilter, letterQuery } from '../validate/dead-letter-query.ts'
import type { ReplayResult } from '../validate/dead-letter-replay.ts'
import {
  type LetterList,
  type LetterSummary,
  listLetters,
  showLetter,
  summarizeLetters,
  type WholeLetter,
} from '../validate/dead-letter-report.ts'
import { askAdmin, openBook, withLock } from './letters-access.ts'
import { listText, purgeText, replayText, summaryText, wholeText } from './letters-text.ts'
import { Progress } from './progress.ts'

const LETTERS_PATH = '/v1/dlq'
const DEFAULT_URL = 'http://127.0.0.1:8079'
const LISTED = 100
/** Letters of one call of a replay: short enough that progress is seen. */
const CALL_LETTERS = 10_000

interface Options {
  url: string
  dir?: string
  json?: true
  limit?: number
  source?: string[]
  stage?: string[]
  reason?: string[]
  state?: string[]
  since?: string
  until?: string
  after?: string
}

export function dlqCommand(): Command {
  return new Command('dlq')
    .description('Dead letters: what was refused, kept raw with the reason.')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(replayCommand())
    .addCommand(purgeCommand())
    .addHelpText(
      'after',
      '\nWhat they are, and what driving them again means: docs/dead-letters.md.',
    )
}

function listCommand(): Command {
  return filtered(new Command('list'))
    .description('List dead letters, oldest first.')
    .option('--summary', 'count them by source, stage and reason instead')
    .option('--state <state>', 'open, doubt or settled; repeat for several', collect)
    .option('--after <id>', 'only those behind this one')
    .option('-n, --limit <n>', `at most so many (${LISTED})`, countUpTo(LETTERS_LISTED_MAX))
    .option('--dir <dir>', 'a state directory, instead of asking the daemon')
    .action(async (options: Options & { summary?: true }) => {
      if (options.summary) print(options, await summary(options), summaryText)
      else print(options, await list(options), listText)
    })
}

async function list({ url, dir, limit = LISTED, ...filter }: Options): Promise<LetterList> {
  const query = letterQuery({ ...filter })
  if (dir !== undefined) {
    const { book, instruments } = openBook(dir)
    return listLetters(book, letterFilter(query, Date.now()), limit, instruments)
  }
  query.set('limit', String(limit))
  return await askAdmin<LetterList>(url, 'GET', `${LETTERS_PATH}?${query}`)
}

async function summary({ url, dir, ...filter }: Options): Promise<LetterSummary> {
  const query = letterQuery({ ...filter })
  if (dir !== undefined) {
    return summarizeLetters(openBook(dir).book, letterFilter(query, Date.now()))
  }
  query.set('summary', 'true')
  return await askAdmin<LetterSummary>(url, 'GET', `${LETTERS_PATH}?${query}`)
}

function showCommand(): Command {
  return reached(new Command('show'))
    .description('Show a letter: where and why, and its bytes, as text or in hex.')
    .argument('<id>', 'as `list` shows it')
    .option('--hex', 'the bytes in hex, also where they are text')
    .option('--raw', 'the bytes and nothing else, as they came')
    .option('--dir <dir>', 'a state directory, instead of asking the daemon')
    .action(async (id: string, options: Options & { hex?: true; raw?: true }) => {
      const letter = await show(id, options)
      if (options.raw) process.stdout.write(Buffer.from(letter.hex, 'hex'))
      else print(options, letter, (whole) => wholeText(whole, options.hex === true))
    })
}

async function show(id: string, { url, dir }: Options): Promise<WholeLetter> {
  if (dir === undefined) {
    return await askAdmin<WholeLetter>(url, 'GET', `${LETTERS_PATH}/${encodeURIComponent(id)}`)
  }
  const { book, instruments } = openBook(dir)
  const entry = book.find(id)
  if (entry !== undefined) return showLetter(entry, instruments)
  throw new TickdError('USAGE', `${dir} has no letter ${id}`)
}

function replayCommand(): Command {
  return filtered(new Command('replay'))
    .description('Drive letters through the decoder of today; none is ever stored twice.')
    .option('-n, --limit <n>', 'at most so many letters', countUpTo(Number.MAX_SAFE_INTEGER))
    .option('--dry-run', 'say what would become of them, and change nothing')
    .option('--even-doubtful', 'also those of which nobody knows whether they are stored')
    .action(async (options: Options & { dryRun?: true; evenDoubtful?: true }) => {
      const query = letterQuery({ ...options })
      if (options.dryRun) query.set('dry_run', 'true')
      if (options.evenDoubtful) query.set('even_doubtful', 'true')
      const result = await replayAll(options.url, query, options.limit ?? Number.MAX_SAFE_INTEGER)
      print(options, result, (all) => replayText(all, options.dryRun === true))
    })
}

/** Call by call, each going on behind the last: progress, and bounded work for the daemon. */
async function replayAll(
  url: string,
  query: URLSearchParams,
  limit: number,
): Promise<ReplayResult> {
  const total: ReplayResult = {
    letters: 0,
    settled: {},
    records: 0,
    refused: {},
    skipped: {},
    next: '',
  }
  const progress = new Progress()
  do {
    query.set('limit', String(Math.min(CALL_LETTERS, LETTERS_PER_CALL_MAX, limit - total.letters)))
    const part = await askAdmin<ReplayResult>(url, 'POST', `${LETTERS_PATH}/replay?${query}`)
    total.letters += part.letters
    total.records += part.records
    total.next = part.next
    addCounts(total.settled, part.settled)
    addCounts(total.refused, part.refused)
    addCounts(total.skipped, part.skipped)
    query.set('after', part.next)
    progress.show(() => `${total.letters} letters, ${total.records} records`)
  } while (total.next !== '' && total.letters < limit)
  progress.end()
  return total
}

function purgeCommand(): Command {
  return filtered(new Command('purge'))
    .description('Give letters up for good: all that the options choose.')
    .option('--yes', 'really')
    .option('--dir <dir>', 'a state directory of which no daemon runs')
    .action(async (options: Options & { yes?: true }) => {
      const query = letterQuery({ ...options })
      const { url, dir } = options
      if (options.yes === undefined) {
        const { letters } = await summary(options)
        const text = `${letters} letters would be given up for good; say --yes`
        throw new TickdError('USAGE', text)
      }
      if (dir !== undefined) return print(options, purgeOffline(dir, query), purgeText)
      query.set('confirm', 'yes')
      const answer = await askAdmin<PurgeResult>(url, 'DELETE', `${LETTERS_PATH}?${query}`)
      print(options, answer, purgeText)
    })
}

function purgeOffline(dir: string, query: URLSearchParams): PurgeResult {
  const filter = letterFilter(query, Date.now())
  return withLock(dir, () => purgeLetters(openBook(dir).book, filter, { ownsAll: true }))
}

function reached(command: Command): Command {
  return command
    .option('--url <url>', 'the daemon’s admin listener', DEFAULT_URL)
    .option('--json', 'print JSON')
}

function filtered(command: Command): Command {
  return reached(command)
    .option('--source <name>', 'of this source; repeat for several', collect)
    .option('--stage <stage>', 'decode, validate or store; repeat for several', collect)
    .option('--reason <reason>', 'bad_json …; repeat for several', collect)
    .option('--since <time>', 'received since: a time, or how long ago (15m, 2h, 7d)')
    .option('--until <time>', 'received before')
}

function print<Value extends object>(
  { json }: Options,
  value: Value,
  text: (value: Value) => string,
): void {
  process.stdout.write(json ? `${JSON.stringify(value)}\n` : text(value))
}

function addCounts(total: Record<string, number>, part: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(part)) total[name] = (total[name] ?? 0) + count
}

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value]
}

function countUpTo(max: number): (text: string) => number {
  return (text) => {
    const count = /^\d{1,15}$/.test(text) ? Number(text) : 0
    if (count >= 1 && count <= max) return count
    throw new InvalidArgumentError(`must be a whole number from 1 to ${max}.`)
  }
}
