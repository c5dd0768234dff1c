// What `tickd dlq` prints for people.

import type { PurgeResult } from '../validate/dead-letter-purge.ts'
import type { ReplayResult } from '../validate/dead-letter-replay.ts'
import type { LetterList, LetterSummary, WholeLetter } from '../validate/dead-letter-report.ts'

const PREVIEW_CHARS = 60
const HEX_LINE_BYTES = 16

export function listText({ letters, next, discarded }: LetterList): string {
  const rows = letters.map((letter) => [
    letter.id,
    letter.received.slice(0, 23),
    letter.source ?? '?',
    letter.outcome ?? (letter.tries > 0 ? `${letter.state} (${letter.tries})` : letter.state),
    `${letter.stage}/${letter.reason}`,
    String(letter.bytes),
    letter.preview.slice(0, PREVIEW_CHARS),
  ])
  const head = ['id', 'received', 'source', 'state', 'why', 'bytes', 'begins']
  return table([head, ...rows]) + discardedText(discarded) + (next ? `more: --after ${next}\n` : '')
}

export function summaryText({ groups, letters, discarded }: LetterSummary): string {
  const rows = groups.map((group) => [
    group.source ?? '?',
    `${group.stage}/${group.reason}`,
    String(group.letters),
    String(group.bytes),
    group.oldest.slice(0, 23),
    group.newest.slice(0, 23),
  ])
  const head = ['source', 'why', 'letters', 'bytes', 'oldest', 'newest']
  return `${table([head, ...rows])}${letters} letters\n${discardedText(discarded)}`
}

export function wholeText(letter: WholeLetter, asHex: boolean): string {
  const { text, hex, record, preview: _, ...rest } = letter
  const lines = Object.entries(rest).map(([name, value]) => `${name.padEnd(14)}${value ?? '-'}\n`)
  if (record !== null) lines.push(`${'record'.padEnd(14)}${JSON.stringify(record)}\n`)
  const body = text === null || asHex ? hexText(Buffer.from(hex, 'hex')) : `${text}\n`
  return `${lines.join('')}\n${body}`
}

export function replayText(result: ReplayResult, isDryRun: boolean): string {
  const { letters, settled, records, refused, skipped, next } = result
  const lines = [`${letters} letters${isDryRun ? ' (nothing was changed)' : ''}\n`]
  for (const [outcome, count] of Object.entries(settled)) {
    const stored = outcome === 'recovered' && !isDryRun ? `, ${records} records stored` : ''
    lines.push(`  ${outcome.padEnd(20)} ${count}${stored}\n`)
  }
  for (const [why, count] of Object.entries(refused)) {
    lines.push(`  ${`still ${why}`.padEnd(20)} ${count}\n`)
  }
  for (const [why, count] of Object.entries(skipped)) {
    lines.push(`  ${`skipped: ${why}`.padEnd(20)} ${count}\n`)
  }
  if (next !== '') lines.push(`there are more, behind ${next}\n`)
  return lines.join('')
}

export function purgeText({ purged, filesRemoved }: PurgeResult): string {
  return `${purged} letters given up, ${filesRemoved} files removed\n`
}

function discardedText(discarded: number): string {
  if (discarded === 0) return ''
  return `${discarded} older letters were discarded to stay within dead_letters.bytes_max\n`
}

/** 00000000  7b 22 … |{"…| */
function hexText(bytes: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += HEX_LINE_BYTES) {
    const part = bytes.subarray(at, at + HEX_LINE_BYTES)
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = part.toString('latin1').replace(/[^ -~]/g, '.')
    const offset = at.toString(16).padStart(8, '0')
    lines.push(`${offset}  ${hex.padEnd(HEX_LINE_BYTES * 3)} |${text}|\n`)
  }
  return lines.join('')
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
