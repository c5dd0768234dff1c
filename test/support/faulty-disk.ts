// A disk that fails when told to, and forgets at a crash what it never promised to keep.
//
// Files are real ones. Beside each it keeps the image that a loss of power would leave: pages reach
// it by a sync that succeeds. A sync that fails marks the pages as clean all the same, as ext4 and
// XFS do: they read well, and the next sync, which succeeds, does not write them. Names reach the
// image by a sync of their directory. `crash()` puts the image in the place of the files.

import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Disk, type OpenMode, realDisk } from '../../src/journal/disk.ts'

const PAGE_BYTES = 4096

export type DiskCall = Exclude<keyof Disk, 'close' | 'fileBytes' | 'pathBytes'>

interface Failure {
  call: DiskCall
  code: string
  /** Only where the path matches. */
  path: RegExp
  /** Calls let through before it, then calls failed. */
  after: number
  times: number
}

/** A file as it would be after a loss of power, and the pages that differ from it. */
interface Shadow {
  image: Buffer
  dirty: Set<number>
}

export class FaultyDisk implements Disk {
  /** What freeBytes says; the real answer if undefined. */
  free: number | undefined
  /** Calls made. */
  readonly counts = new Map<DiskCall, number>()
  readonly #paths = new Map<number, string>()
  readonly #failures: Failure[] = []
  /** By path as it is now. */
  #shadows = new Map<string, Shadow>()
  /** Directories as they would be after a loss of power: their names, each with its file. */
  readonly #names = new Map<string, Map<string, Shadow>>()

  /** The next `times` calls fail with `code`, once `after` of them have been let through. */
  fail(call: DiskCall, code: string, options: Partial<Omit<Failure, 'call' | 'code'>> = {}): void {
    this.#failures.push({ call, code, path: /./, after: 0, times: 1, ...options })
  }

  /** Nothing fails any more. */
  mend(): void {
    this.#failures.length = 0
  }

  /** Loss of power: what was not synced is gone. Descriptors are dead after it. */
  crash(): void {
    for (const [directory, names] of this.#names) {
      for (const name of readdirSync(directory)) rmSync(join(directory, name))
      for (const [name, { image }] of names) writeFileSync(join(directory, name), image)
    }
    this.#shadows = new Map()
    for (const [directory, names] of this.#names) {
      for (const [name, shadow] of names) {
        shadow.dirty.clear()
        this.#shadows.set(join(directory, name), shadow)
      }
    }
  }

  open(path: string, mode: OpenMode): number {
    this.#check('open', path)
    const isNew = !existsSync(path)
    const fd = realDisk.open(path, mode)
    this.#paths.set(fd, path)
    if (isNew || mode === 'replace') this.#shadows.set(path, newShadow())
    return fd
  }

  close(fd: number): void {
    realDisk.close(fd)
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    this.#check('read', this.#path(fd))
    return realDisk.read(fd, into, offset)
  }

  write(fd: number, bytes: Uint8Array, offset: number): number {
    this.#check('write', this.#path(fd))
    this.#soil(fd, offset, offset + bytes.length)
    return realDisk.write(fd, bytes, offset)
  }

  writeAll(fd: number, pieces: readonly Uint8Array[], offset: number): number {
    this.#check('writeAll', this.#path(fd))
    this.#soil(
      fd,
      offset,
      pieces.reduce((end, { length }) => end + length, offset),
    )
    return realDisk.writeAll(fd, pieces, offset)
  }

  syncData(fd: number): void {
    this.#sync('syncData', fd)
  }

  sync(fd: number): void {
    this.#sync('sync', fd)
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#check('truncate', this.#path(fd))
    const before = realDisk.fileBytes(fd)
    realDisk.truncate(fd, sizeBytes)
    // The rest of the last page is zeroed, which makes it dirty.
    if (before > sizeBytes && sizeBytes % PAGE_BYTES !== 0) this.#soil(fd, sizeBytes, sizeBytes + 1)
  }

  fileBytes(fd: number): number {
    return realDisk.fileBytes(fd)
  }

  pathBytes(path: string): number {
    return realDisk.pathBytes(path)
  }

  rename(from: string, to: string): void {
    this.#check('rename', from)
    realDisk.rename(from, to)
    const shadow = this.#shadows.get(from)
    this.#shadows.delete(from)
    if (shadow !== undefined) this.#shadows.set(to, shadow)
  }

  unlink(path: string): void {
    this.#check('unlink', path)
    realDisk.unlink(path)
    this.#shadows.delete(path)
  }

  list(directory: string): string[] {
    this.#check('list', directory)
    return realDisk.list(directory)
  }

  makeDirectory(directory: string): void {
    this.#check('makeDirectory', directory)
    realDisk.makeDirectory(directory)
  }

  syncDirectory(directory: string): void {
    this.#check('syncDirectory', directory)
    const names = new Map<string, Shadow>()
    for (const [path, shadow] of this.#shadows) {
      if (dirname(path) === directory) names.set(path.slice(directory.length + 1), shadow)
    }
    this.#names.set(directory, names)
  }

  freeBytes(directory: string): number {
    this.#check('freeBytes', directory)
    return this.free ?? realDisk.freeBytes(directory)
  }

  #sync(call: 'sync' | 'syncData', fd: number): void {
    const shadow = this.#shadows.get(this.#path(fd))
    try {
      this.#check(call, this.#path(fd))
    } catch (thrown) {
      shadow?.dirty.clear()
      throw thrown
    }
    if (shadow === undefined) return
    const file = readFileSync(this.#path(fd))
    const image = Buffer.alloc(file.length)
    shadow.image.copy(image)
    for (const page of shadow.dirty) {
      const start = page * PAGE_BYTES
      file.copy(image, start, start, Math.min(start + PAGE_BYTES, file.length))
    }
    shadow.image = image
    shadow.dirty.clear()
  }

  /** The bytes [from, to) of the file are in memory only. */
  #soil(fd: number, from: number, to: number): void {
    const { dirty } = this.#shadows.get(this.#path(fd)) ?? newShadow()
    for (let page = Math.floor(from / PAGE_BYTES); page * PAGE_BYTES < to; page++) dirty.add(page)
  }

  #check(call: DiskCall, path: string): void {
    this.counts.set(call, (this.counts.get(call) ?? 0) + 1)
    for (const failure of this.#failures) {
      if (failure.call !== call || failure.times === 0 || !failure.path.test(path)) continue
      if (failure.after > 0) {
        failure.after--
        continue
      }
      failure.times--
      throw Object.assign(new Error(`${failure.code}: told to fail, ${call}`), {
        code: failure.code,
      })
    }
  }

  #path(fd: number): string {
    return this.#paths.get(fd) as string
  }
}

function newShadow(): Shadow {
  return { image: Buffer.alloc(0), dirty: new Set() }
}

/** Cuts, flips or removes bytes of a file: what a bad disk or a careless hand does. */
export function damage(path: string, how: 'flip' | 'cut', offset: number, bit = 0): void {
  if (how === 'cut') {
    truncateSync(path, offset)
    return
  }
  const bytes = readFileSync(path)
  bytes[offset] = (bytes[offset] as number) ^ (1 << bit)
  writeFileSync(path, bytes)
}
