// The files of one writer of dead letters: appended to, fsynced, and within a budget.
//
// Each is closed at `fileBytesMax`; the oldest is removed, and its letters are counted as discarded
// (by the caller, and in the file `discarded`, which outlives the daemon), before the whole would
// exceed `bytesMax`.
//
// Invariants: the files hold whole entries only, but for damage, and a torn one at the end of the
// last file after a crash, which is cut off before more is written; a file is never changed
// otherwise. Others may remove any file but the last.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import {
  LETTER_ALIGN_BYTES,
  LETTER_HEADER_BYTES_V1,
  letterFileName,
  letterFileNumber,
  letterSizeAt,
} from './dead-letter-format.ts'

const DISCARDED_FILE = 'discarded'

export interface LetterFilesOptions {
  readonly directory: string
  readonly fileBytesMax: number
  readonly bytesMax: number
  /** Letters were discarded to stay within the budget. */
  readonly onDiscard: (letterCount: number) => void
}

interface LetterFile {
  readonly number: number
  size: number
  /** Unknown (-1) of a file that an earlier process wrote. */
  letterCount: number
}

export class LetterFiles {
  readonly #options: LetterFilesOptions
  /** Oldest first; the last one is written. Undefined until the first write. */
  #files: LetterFile[] | undefined
  #fd: number | undefined
  /** Written since the last fsync. */
  #isDirty = false
  /** A file was made since the directory was synced. */
  #hasNewFile = false

  constructor(options: LetterFilesOptions) {
    this.#options = options
  }

  /** Appends whole entries. Throws what the disk says; none of them is then kept. */
  write(bytes: Buffer, letterCount: number): void {
    try {
      this.#write(bytes, letterCount)
    } catch (error) {
      this.#giveUp()
      throw error
    }
  }

  /** Throws when the disk does not say that it holds what was written. */
  sync(): void {
    if (!this.#isDirty || this.#fd === undefined) return
    // Not tried again as if nothing had happened: what a failed fsync leaves is not known.
    this.#isDirty = false
    fdatasyncSync(this.#fd)
    if (this.#hasNewFile) syncDirectory(this.#options.directory)
    this.#hasNewFile = false
  }

  close(): void {
    const fd = this.#fd
    this.#fd = undefined
    if (fd === undefined) return
    try {
      closeSync(fd)
    } catch {
      // The descriptor is gone either way.
    }
  }

  #write(bytes: Buffer, letterCount: number): void {
    const files = this.#open()
    let file = files.at(-1)
    if (file === undefined || file.size + bytes.length > this.#options.fileBytesMax) {
      this.sync()
      this.close()
      file = { number: (file?.number ?? 0) + 1, size: 0, letterCount: 0 }
      files.push(file)
    }
    this.#discardOldest(files, bytes.length)
    this.#fd ??= this.#openFile(file)
    this.#isDirty = true
    let written = 0
    while (written < bytes.length) {
      written += writeSync(this.#fd, bytes, written, bytes.length - written)
    }
    file.size += written
    if (file.letterCount >= 0) file.letterCount += letterCount
  }

  #openFile(file: LetterFile): number {
    this.#hasNewFile ||= file.size === 0
    return openSync(this.#path(file.number), 'a', 0o640)
  }

  /** The files of the directory; a torn entry at the end of the last one is cut off. */
  #open(): LetterFile[] {
    if (this.#files !== undefined) return this.#files
    const { directory } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o750 })
    const files = readdirSync(directory)
      .map(letterFileNumber)
      .filter((number) => number > 0)
      .sort((a, b) => a - b)
      .map((number) => ({ number, size: statSync(this.#path(number)).size, letterCount: -1 }))
    const last = files.at(-1)
    if (last !== undefined) {
      const { end, letterCount } = scan(readFileSync(this.#path(last.number)))
      if (end < last.size) truncateSync(this.#path(last.number), end)
      last.size = end
      last.letterCount = letterCount
    }
    this.#files = files
    return files
  }

  /** Removes the oldest files until so many bytes more fit in the budget. */
  #discardOldest(files: LetterFile[], bytes: number): void {
    let total = bytes
    for (const { size } of files) total += size
    while (total > this.#options.bytesMax && files.length > 1) {
      const oldest = files.shift() as LetterFile
      total -= oldest.size
      this.#discard(oldest)
    }
  }

  #discard({ number, letterCount }: LetterFile): void {
    const { directory, onDiscard } = this.#options
    const file = this.#path(number)
    // Purged by hand meanwhile: not ours to count.
    if (!existsSync(file)) return
    const count = letterCount >= 0 ? letterCount : scan(readFileSync(file)).letterCount
    rmSync(file, { force: true })
    onDiscard(count)
    writeFileSync(path.join(directory, DISCARDED_FILE), `${discardedCount(directory) + count}\n`)
  }

  /** After a failed write: no half entry stays, and the directory is looked at anew. */
  #giveUp(): void {
    const file = this.#files?.at(-1)
    if (this.#fd !== undefined && file !== undefined) {
      try {
        ftruncateSync(this.#fd, file.size)
      } catch {
        // Then the next #open() cuts it.
      }
    }
    this.close()
    this.#files = undefined
  }

  #path(number: number): string {
    return path.join(this.#options.directory, letterFileName(number))
  }
}

/** Letters of a directory that were discarded to stay within the budget, ever. */
export function discardedCount(directory: string): number {
  const file = path.join(directory, DISCARDED_FILE)
  if (!existsSync(file)) return 0
  return Number.parseInt(readFileSync(file, 'utf8'), 10) || 0
}

/** A new, renamed or removed file is that after a power cut once its directory is on the disk. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Whole entries of a file: their count, and where the last one ends. Damage is passed over. */
function scan(bytes: Uint8Array): { end: number; letterCount: number } {
  let offset = 0
  let end = 0
  let letterCount = 0
  while (bytes.length - offset >= LETTER_HEADER_BYTES_V1) {
    const size = letterSizeAt(bytes, offset)
    offset += size > 0 ? size : LETTER_ALIGN_BYTES
    if (size === 0) continue
    end = offset
    letterCount++
  }
  return { end, letterCount }
}
