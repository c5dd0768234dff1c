// A file system in memory that loses what a real one may lose: the journal's `Disk`, with faults.
//
// What survives a power cut is exactly what disk.ts promises: bytes synced by a sync that did not
// fail, names after `syncDirectory`. Of all else any part may survive: sectors in any order, a file
// grown but empty, half a sector. A failed sync drops what was dirty and reports success the next
// time, as Linux does. A killed process loses nothing that it wrote.

import type { Disk, OpenMode } from '../../src/journal/disk.ts'
import type { Random } from '../../src/source/random.ts'
import { SimulatedFile } from './simulated-file.ts'

/** Faults that hit the next call of their kind. */
export type DiskFault = 'sync' | 'syncDirectory' | 'write' | 'shortWrite' | 'open'
const CODES = { sync: 'EIO', syncDirectory: 'EIO', write: 'EIO', shortWrite: '', open: 'EMFILE' }

type Names = Map<string, SimulatedFile>
type NameChange = (names: Names) => void

export class SimulatedDisk {
  /** Bytes that all files together may have. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** Calls until the process that makes them ends in the midst of one; 0 = it does not. */
  callsToEnd = 0
  /** Counts of what was done to it, for the summary of a run. */
  readonly counts = { syncs: 0, lostSectors: 0, tornSectors: 0, lostNames: 0 }
  readonly #random: Random
  readonly #sectorBytes: number
  #names: Names = new Map()
  #durableNames: Names = new Map()
  /** Changes of names that no syncDirectory has seen, oldest first. */
  #nameChanges: NameChange[] = []
  readonly #armed = new Set<DiskFault>()

  constructor(random: Random) {
    this.#random = random
    this.#sectorBytes = [64, 512, 4096][random.below(3)] as number
  }

  /** The disk as one process sees it: its descriptors end with it. */
  process(): DiskProcess {
    return new DiskProcess(this)
  }

  /** The next call of this kind fails. */
  arm(fault: DiskFault): void {
    this.#armed.add(fault)
  }

  /** No call fails any more, and there is room. */
  heal(): void {
    this.#armed.clear()
    this.callsToEnd = 0
    this.capacityBytes = Number.POSITIVE_INFINITY
  }

  get usedBytes(): number {
    let sum = 0
    for (const file of this.#names.values()) sum += file.sizeBytes
    return sum
  }

  /** Paths of all files that begin with `prefix`, sorted. */
  paths(prefix = ''): string[] {
    return [...this.#names.keys()].filter((path) => path.startsWith(prefix)).sort()
  }

  file(path: string): SimulatedFile | undefined {
    return this.#names.get(path)
  }

  /** Power is cut: what was not synced may be gone, in part or whole. */
  loseUnsynced(): void {
    const names: Names = new Map(this.#durableNames)
    // Names change in the order of the file system's own log, or, on some, in any.
    const isOrdered = this.#random.below(4) > 0
    const kept = this.#random.below(this.#nameChanges.length + 1)
    this.#nameChanges.forEach((change, index) => {
      const survives = isOrdered ? index < kept : this.#random.below(2) === 0
      if (survives) change(names)
      else this.counts.lostNames++
    })
    this.#nameChanges = []
    this.#names = names
    this.#durableNames = new Map(names)
    for (const file of new Set(names.values())) this.#lose(file)
  }

  #lose(file: SimulatedFile): void {
    const { lost, torn } = file.loseUnsynced(this.#random)
    this.counts.lostSectors += lost
    this.counts.tornSectors += torn
  }

  /** The calls of a process. Throws as node:fs does. */
  open(path: string, mode: OpenMode): SimulatedFile {
    this.#mayFail('open', `open '${path}'`)
    const file = this.#names.get(path)
    if (mode === 'create' && file !== undefined) throw systemError('EEXIST', `open '${path}'`)
    if (mode === 'read' || mode === 'update') {
      if (file === undefined) throw systemError('ENOENT', `open '${path}'`)
      return file
    }
    if (file !== undefined) {
      file.truncate(0)
      return file
    }
    if (this.usedBytes >= this.capacityBytes) throw systemError('ENOSPC', `open '${path}'`)
    const made = new SimulatedFile(this.#sectorBytes)
    this.#change((names) => names.set(path, made))
    return made
  }

  write(file: SimulatedFile, bytes: Uint8Array, offset: number): number {
    this.#mayFail('write', 'write')
    const growth = Math.max(0, offset + bytes.length - file.sizeBytes)
    const room = Math.max(0, this.capacityBytes - this.usedBytes)
    let size = growth <= room ? bytes.length : Math.max(0, bytes.length - growth + room)
    if (size === 0 && bytes.length > 0) throw systemError('ENOSPC', 'write')
    if (this.#armed.delete('shortWrite')) size = this.#random.below(bytes.length) + 1
    file.write(bytes.subarray(0, size), offset)
    return size
  }

  sync(file: SimulatedFile): void {
    this.counts.syncs++
    if (this.#armed.has('sync')) file.failSync(this.#random)
    this.#mayFail('sync', 'fsync')
    file.sync()
  }

  syncDirectory(): void {
    this.#mayFail('syncDirectory', 'fsync')
    this.#durableNames = new Map(this.#names)
    this.#nameChanges = []
  }

  rename(from: string, to: string): void {
    const file = this.#names.get(from)
    if (file === undefined) throw systemError('ENOENT', `rename '${from}'`)
    this.#change((names) => {
      names.delete(from)
      names.set(to, file)
    })
  }

  unlink(path: string): void {
    if (!this.#names.has(path)) throw systemError('ENOENT', `unlink '${path}'`)
    this.#change((names) => names.delete(path))
  }

  list(directory: string): string[] {
    const prefix = `${directory}/`
    return this.paths(prefix).map((path) => path.slice(prefix.length))
  }

  #change(change: NameChange): void {
    change(this.#names)
    this.#nameChanges.push(change)
  }

  #mayFail(fault: DiskFault, call: string): void {
    if (this.#armed.delete(fault)) throw systemError(CODES[fault], call)
  }
}

/** The disk of one process: after `die`, whatever is left of it writes nothing more. */
export class DiskProcess implements Disk {
  readonly #disk: SimulatedDisk
  readonly #files = new Map<number, SimulatedFile>()
  #nextFd = 3
  #isDead = false
  #isEnded = false

  constructor(disk: SimulatedDisk) {
    this.#disk = disk
  }

  /** True once a call ended it: what else it does is of no effect, and it is to be buried. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  die(): void {
    this.#isDead = true
    this.#files.clear()
  }

  open(path: string, mode: OpenMode): number {
    const file = this.#live().open(path, mode)
    this.#files.set(this.#nextFd, file)
    return this.#nextFd++
  }

  close(fd: number): void {
    if (this.#isEnded) return
    if (!this.#files.delete(fd)) throw systemError('EBADF', 'close')
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    return this.#file(fd).read(into, offset)
  }

  write(fd: number, bytes: Uint8Array, offset: number): number {
    return this.#disk.write(this.#file(fd), bytes, offset)
  }

  writeAll(fd: number, pieces: readonly Uint8Array[], offset: number): number {
    return this.write(fd, Buffer.concat(pieces), offset)
  }

  syncData(fd: number): void {
    this.#disk.sync(this.#file(fd))
  }

  sync(fd: number): void {
    this.#disk.sync(this.#file(fd))
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#file(fd).truncate(sizeBytes)
  }

  fileBytes(fd: number): number {
    return this.#file(fd).sizeBytes
  }

  pathBytes(path: string): number {
    return this.#live().file(path)?.sizeBytes ?? 0
  }

  rename(from: string, to: string): void {
    this.#live().rename(from, to)
  }

  unlink(path: string): void {
    this.#live().unlink(path)
  }

  list(directory: string): string[] {
    return this.#live().list(directory)
  }

  makeDirectory(): void {}

  syncDirectory(_directory: string): void {
    this.#live().syncDirectory()
  }

  freeBytes(): number {
    const disk = this.#live()
    return Math.max(0, Math.min(disk.capacityBytes, 2 ** 40) - disk.usedBytes)
  }

  #live(): SimulatedDisk {
    if (this.#isDead) throw new Error('a dead process touched the disk')
    const disk = this.#disk
    if (disk.callsToEnd > 0 && --disk.callsToEnd === 0) this.#isEnded = true
    if (this.#isEnded) throw systemError('EIO', 'the process has ended')
    return disk
  }

  #file(fd: number): SimulatedFile {
    this.#live()
    const file = this.#files.get(fd)
    if (file === undefined) throw systemError('EBADF', 'descriptor')
    return file
  }
}

function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call}`), { code })
}
