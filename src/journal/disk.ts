// What the journal asks of a file system: the seam at which a test puts a simulated one.
//
// Synchronous, as the journal is; descriptors are plain numbers. Every method throws what the
// system says as an Error with a `code` (ENOSPC, EIO, …), as node:fs does. No policy here: who
// calls decides what a refusal means.
//
// What is promised, and no more: bytes survive a loss of power after `syncData` or `sync` of their
// file; a name (made, renamed, removed) after `syncDirectory`. A sync that failed promises nothing
// about any byte since the last one that did not, not even when the next one succeeds.

import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
  writevSync,
} from 'node:fs'

/** read: as it is. update: to be changed in place. create: new. replace: emptied or new. */
export type OpenMode = 'read' | 'update' | 'create' | 'replace'

export interface Disk {
  open(path: string, mode: OpenMode): number
  close(fd: number): void
  /** Reads at most into.length bytes from `offset` of the file. Fewer: the file ends there. */
  read(fd: number, into: Uint8Array, offset: number): number
  /** Returns how many bytes went in: fewer than given where the disk is full. */
  write(fd: number, bytes: Uint8Array, offset: number): number
  /** As `write`, of several pieces in one call. */
  writeAll(fd: number, pieces: readonly Uint8Array[], offset: number): number
  /** fdatasync: the bytes, and the size that it takes to find them. */
  syncData(fd: number): void
  /** fsync: as above, and what else is known of the file. */
  sync(fd: number): void
  truncate(fd: number, sizeBytes: number): void
  fileBytes(fd: number): number
  /** Size of the file at `path`; 0 when there is none. */
  pathBytes(path: string): number
  rename(from: string, to: string): void
  unlink(path: string): void
  /** Names in a directory, in any order. */
  list(directory: string): string[]
  /** Makes a directory and those above it, where they are missing. */
  makeDirectory(directory: string): void
  /** Makes creations, renames and removals in a directory durable. */
  syncDirectory(directory: string): void
  /** Bytes that an ordinary user may still write to the file system of `directory`. */
  freeBytes(directory: string): number
}

/** A disk, quota or limit that is reached, or a file system that is read-only: it may pass. */
const REFUSALS: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EMFILE', 'ENFILE']

/** True when the disk takes nothing now, and nothing is wrong with what it has. */
export function isRefusal(thrown: unknown): boolean {
  return REFUSALS.includes((thrown as { code?: unknown } | null)?.code)
}

const FLAGS = Object.freeze({ read: 'r', update: 'r+', create: 'wx+', replace: 'w+' })
const FILE_MODE = 0o640
const DIRECTORY_MODE = 0o750

/** The file systems of this machine. */
export const realDisk: Disk = Object.freeze({
  open: (path: string, mode: OpenMode) => openSync(path, FLAGS[mode], FILE_MODE),
  close: (fd: number) => closeSync(fd),
  read: (fd: number, into: Uint8Array, offset: number) =>
    readSync(fd, into, 0, into.length, offset),
  write: (fd: number, bytes: Uint8Array, offset: number) =>
    writeSync(fd, bytes, 0, bytes.length, offset),
  writeAll: (fd: number, pieces: readonly Uint8Array[], offset: number) =>
    writevSync(fd, pieces, offset),
  syncData: (fd: number) => fdatasyncSync(fd),
  sync: (fd: number) => fsyncSync(fd),
  truncate: (fd: number, sizeBytes: number) => ftruncateSync(fd, sizeBytes),
  fileBytes: (fd: number) => fstatSync(fd).size,
  pathBytes: (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0,
  rename: (from: string, to: string) => renameSync(from, to),
  unlink: (path: string) => unlinkSync(path),
  list: (directory: string) => readdirSync(directory),
  makeDirectory: (directory: string) => {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE })
  },
  syncDirectory: (directory: string) => {
    const fd = openSync(directory, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  },
  freeBytes: (directory: string) => {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize
  },
})
