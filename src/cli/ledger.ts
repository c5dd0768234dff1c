// tickd ledger: does everything balance? Asks a running daemon, or reads the book of a stopped one.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Command } from 'commander'
import { request } from 'undici'
import { errorText, TickdError } from '../errors.ts'
import { audit } from '../ledger/audit.ts'
import { readBook } from '../ledger/book.ts'
import { type LedgerReport, lineTime } from '../ledger/ledger.ts'
import type { Imbalance } from '../ledger/minute.ts'
import { findingText, minutesText, storesText, totalsText } from '../ledger/report-text.ts'
import { LEDGER_ANSWER_LINES_MAX } from '../limits.ts'
import { isBalanced, type SubscriberAccount } from '../serve/feed/account.ts'
import { formatTime, parseTime, type WallTime } from '../tick/time.ts'
import { tokenHeaders } from './token.ts'

const DEFAULT_URL = 'http://127.0.0.1:8080'
const ANSWER_MS_MAX = 10_000
const WATCH_MS = 2000
const CLEAR_SCREEN = '\u001b[H\u001b[2J'
const SECONDS_OF: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

interface LedgerOptions {
  readonly url?: string
  readonly dir?: string
  readonly since?: string
  readonly source?: string
  readonly check?: true
  readonly watch?: true
  readonly json?: true
}

/** What both ways of asking give: an object for --json, a text, and what is wrong. */
interface Answer {
  readonly json: object
  readonly text: string
  readonly problems: readonly string[]
}

type DaemonReport = LedgerReport & { readonly subscribers: readonly SubscriberAccount[] }

export function ledgerCommand(): Command {
  return new Command('ledger')
    .description('The ledger of conservation: what was received, and what became of it.')
    .option('--url <url>', `HTTP address of the running daemon (default: ${DEFAULT_URL})`)
    .option('--dir <dir>', 'read the book in this state directory instead; no daemon is asked')
    .option('--since <time>', 'from then on: 90s, 10m, 2h, 7d, or RFC 3339 UTC (default: 1h)')
    .option('--source <name>', 'only this source')
    .option('--check', 'print only what does not balance')
    .option('--watch', `again every ${WATCH_MS / 1000} s, until Ctrl-C; not with --dir`)
    .option('--json', 'print one JSON object (with --watch: one a line)')
    .addHelpText('after', '\nExit code 1 when something does not balance. See docs/ledger.md.')
    .action(async (options: LedgerOptions) => {
      if (options.dir !== undefined && (options.url !== undefined || options.watch)) {
        throw new TickdError('USAGE', '--dir goes neither with --url nor with --watch')
      }
      if (options.watch) await watch(options)
      else process.exitCode = print(await ask(options), options)
    })
}

async function watch(options: LedgerOptions): Promise<void> {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  while (!stop.signal.aborted) {
    const answer = await ask(options)
    if (process.stdout.isTTY && !options.json) process.stdout.write(CLEAR_SCREEN)
    process.exitCode = print(answer, options)
    await wait(WATCH_MS, undefined, { signal: stop.signal }).catch(() => {})
  }
}

/** Returns the exit code. */
function print({ json, text, problems }: Answer, options: LedgerOptions): number {
  const verdict = problems.length === 0 ? 'balanced\n' : `${problems.join('\n')}\n`
  if (options.json) process.stdout.write(`${JSON.stringify(json)}\n`)
  else process.stdout.write(options.check ? verdict : `${text}\n${verdict}`)
  return problems.length === 0 ? 0 : 1
}

async function ask(options: LedgerOptions): Promise<Answer> {
  const since = options.since === undefined ? undefined : sinceTime(options.since)
  return options.dir === undefined ? await askDaemon(options, since) : readState(options, since)
}

async function askDaemon(options: LedgerOptions, since: string | undefined): Promise<Answer> {
  const base = options.url ?? DEFAULT_URL
  const query = new URLSearchParams()
  if (since !== undefined) query.set('since', since)
  if (options.source !== undefined) query.set('source', options.source)
  const report = await fetchReport(base, query)
  const problems = [...report.imbalances, ...report.findings].map(findingText)
  for (const subscriber of report.subscribers) {
    if (isBalanced(subscriber)) continue
    const { session, published, delivered, skipped } = subscriber
    const evidence = { published, delivered, skipped }
    const amount = published - delivered - skipped
    problems.push(findingText(delivery(`subscriber ${session}`, amount, evidence)))
  }
  problems.push(...damageText(report.damaged_lines))
  const { lines, open, totals, stores } = report
  const text = [minutesText(lines, open), totalsText(totals), storesText(stores)].join('\n')
  return { json: report, text, problems }
}

function delivery(subject: string, amount: number, evidence: Imbalance['evidence']): Imbalance {
  return { check: 'delivered', subject, amount, evidence }
}

async function fetchReport(base: string, query: URLSearchParams): Promise<DaemonReport> {
  const timeouts = { headersTimeout: ANSWER_MS_MAX, bodyTimeout: ANSWER_MS_MAX }
  let status: number
  let body: string
  try {
    const url = new URL(`/v1/ledger?${query}`, base)
    const response = await request(url, { ...timeouts, headers: tokenHeaders() })
    status = response.statusCode
    body = await response.body.text()
  } catch (cause) {
    const text =
      `no daemon answers at ${base} (${errorText(cause)}); give its address with --url, or the ` +
      'state directory of a stopped one with --dir'
    throw new TickdError('IO', text, { canRetry: true, cause })
  }
  if (status === 200) return JSON.parse(body) as DaemonReport
  throw new TickdError(status === 400 ? 'USAGE' : 'IO', `${base} answers ${status}: ${body}`)
}

function readState(options: LedgerOptions, since: string | undefined): Answer {
  const directory = join(options.dir ?? '', 'ledger')
  if (!existsSync(directory)) {
    throw new TickdError('USAGE', `${options.dir} is no state directory: it has no ledger/`)
  }
  const from = since ?? sinceTime('1h')
  const { lines, more, damaged } = readBook(directory, {
    isWanted: (line) => lineTime(line) >= from,
    linesMax: LEDGER_ANSWER_LINES_MAX,
  })
  const findings = audit(lines)
  const problems = [...findings.map(findingText), ...damageText(damaged)]
  const { source } = options
  const shown = lines.map((line) => {
    if (line.type !== 'minute' || source === undefined) return line
    const one = line.sources[source]
    return { ...line, sources: one === undefined ? {} : { [source]: one } }
  })
  const ok = problems.length === 0
  const json = { ok, lines: shown, more, findings, damaged_lines: damaged }
  return { json, text: minutesText(shown), problems }
}

function damageText(damaged: number): string[] {
  if (damaged === 0) return []
  return [`DAMAGED: ${damaged} lines of the ledger are not what was written`]
}

/** As formatTime prints it. */
function sinceTime(text: string): string {
  const ago = /^(\d{1,9})([smhd])$/.exec(text)
  if (ago !== null) {
    const seconds = Number(ago[1]) * (SECONDS_OF[ago[2] ?? 's'] as number)
    const nowMs = Date.now()
    return formatTime(Math.max(0, Math.floor(nowMs / 1000) - seconds), 0)
  }
  const bytes = Buffer.from(text)
  const time: WallTime = { sec: 0, nsec: 0 }
  if (!parseTime(bytes, 0, bytes.length, time)) {
    const form = '90s, 10m, 2h, 7d, or a UTC time such as 2026-11-20T21:35:00Z'
    throw new TickdError('USAGE', `--since ${text}: give ${form}`)
  }
  return formatTime(time.sec, time.nsec)
}
