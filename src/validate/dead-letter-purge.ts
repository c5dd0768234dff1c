// Gives up dead letters that nobody wants any more.
//
// A file of which every letter is settled, or meets the filter, is removed. Of other files, and of
// the one that its writer has open, the letters are marked as purged: no command shows or drives
// them again, and their bytes go with the file.

import { unlinkSync } from 'node:fs'
import path from 'node:path'
import { type BookFilter, LETTER_STATES, type LetterBook } from './dead-letter-book.ts'
import type { LogLine } from './dead-letter-log.ts'

export interface PurgeOptions {
  /** Also the last file of each writer: only where no daemon has it open. */
  readonly ownsAll: boolean
}

export interface PurgeResult {
  /** Letters that were not settled, and are no more. */
  readonly purged: number
  readonly filesRemoved: number
}

/** What one file holds. */
interface FileCount {
  letters: number
  /** Settled, or to be purged. */
  done: number
  readonly lines: LogLine[]
}

/** `filter` as in the book's `entries`; settled letters are not counted again. Throws IO. */
export function purgeLetters(
  book: LetterBook,
  filter: BookFilter,
  { ownsAll }: PurgeOptions,
): PurgeResult {
  const files = countFiles(book, filter)
  const last = new Map([...files.keys()].map((file) => [path.dirname(file), file]))
  let purged = 0
  let filesRemoved = 0
  const removable: string[] = []
  for (const [file, { letters, done, lines }] of files) {
    purged += lines.length
    const isOpen = !ownsAll && last.get(path.dirname(file)) === file
    // Marked first in either case: a removal that a crash prevents brings none of them back.
    book.log.append(lines)
    if (done === letters && !isOpen) removable.push(file)
  }
  for (const file of removable) {
    unlinkSync(file)
    filesRemoved++
  }
  book.log.compact((id) => book.isThere(id))
  return { purged, filesRemoved }
}

function countFiles(book: LetterBook, filter: BookFilter): Map<string, FileCount> {
  const { states = ['open', 'doubt'], ...rest } = filter
  const chosen = new Set<string>()
  for (const { letter } of book.entries({ ...rest, states })) chosen.add(letter.id)
  const files = new Map<string, FileCount>()
  for (const { letter, digest, state } of book.entries({ states: LETTER_STATES })) {
    const file = files.get(letter.file) ?? { letters: 0, done: 0, lines: [] }
    files.set(letter.file, file)
    file.letters++
    const isChosen = state !== 'settled' && chosen.has(letter.id)
    if (isChosen || state === 'settled') file.done++
    if (isChosen) file.lines.push({ is: 'done', letter: digest, id: letter.id, as: 'purged' })
  }
  return files
}
