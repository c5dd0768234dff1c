// Bugs that are planted to see whether the simulation finds them: each wires one thing wrong.
//
// Nothing of the product is changed: a bug is a disk that leaves out a sync, a position mixed up
// with another, a message altered on its way. Each is one that somebody has shipped, somewhere.

import { crc32 } from 'node:zlib'
import type { Disk } from '../../src/journal/disk.ts'
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_OFFSET,
  SEGMENT_HEADER_BYTES,
} from '../../src/journal/segment-layout.ts'
import { SEQ_MAX } from '../../src/limits.ts'
import { BatchIds } from '../../src/ring/batch-ids.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { BATCH_IDS } from './life-agents.ts'
import { splitCommit } from './planted-commit.ts'
import { SOUND, type Wiring } from './wiring.ts'

export interface PlantedBug {
  readonly name: string
  readonly what: string
  readonly wiring: Wiring
}

function planted(name: string, what: string, changes: Partial<Wiring>): PlantedBug {
  return { name, what, wiring: { ...SOUND, ...changes } }
}

/** The disk, with some calls replaced. */
function altered(disk: Disk, changes: (disk: Disk) => Partial<Disk>): Disk {
  const bound = Object.fromEntries(
    DISK_CALLS.map((name) => [name, (disk[name] as (...args: never[]) => unknown).bind(disk)]),
  ) as unknown as Disk
  return { ...bound, ...changes(bound) }
}

const DISK_CALLS = [
  'open',
  'close',
  'read',
  'write',
  'writeAll',
  'syncData',
  'sync',
  'truncate',
  'fileBytes',
  'pathBytes',
  'rename',
  'unlink',
  'list',
  'makeDirectory',
  'syncDirectory',
  'freeBytes',
] as const satisfies readonly (keyof Disk)[]

function unheard(call: () => void): void {
  try {
    call()
  } catch {
    // This is the bug.
  }
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  planted('ack-before-fsync', 'a push is answered once its records are written, not synced', {
    acknowledged: ({ written }) => written,
  }),
  planted('position-after-commit', 'the position is committed after the rows, not with them', {
    connect: splitCommit,
  }),
  planted('fsync-error-ignored', 'a failed fsync is taken for one that worked', {
    disk: (disk) =>
      altered(disk, (sound) => ({
        syncData: (fd) => unheard(() => sound.syncData(fd)),
        sync: (fd) => unheard(() => sound.sync(fd)),
      })),
  }),
  planted('fsync-retried', 'a failed fsync is tried again, and the second answer believed', {
    disk: (disk) =>
      altered(disk, (sound) => ({
        syncData: (fd) => {
          unheard(() => sound.syncData(fd))
          sound.syncData(fd)
        },
      })),
  }),
  planted('checksum-not-checked', 'recovery takes a block whose records do not fit its checksum', {
    disk: (disk) =>
      altered(disk, (sound) => ({
        read: (fd, into, offset) => {
          const size = sound.read(fd, into, offset)
          mendChecksums(into.subarray(0, size), offset)
          return size
        },
      })),
  }),
  planted('frame-released-early', 'decode gives a frame back before its records are published', {
    frames: (ring) => {
      const keep = ring.keep.bind(ring)
      ring.keep = () => {
        keep()
        ring.releaseKept()
      }
      return ring
    },
  }),
  planted('reads-past-durable', 'stores read what is written, though it is not durable yet', {
    readable: ({ written }) => written,
  }),
  planted('directory-not-synced', 'a new segment’s name is not made durable', {
    disk: (disk) => altered(disk, () => ({ syncDirectory: () => {} })),
  }),
  planted('data-not-synced', 'fdatasync does nothing', {
    disk: (disk) => altered(disk, () => ({ syncData: () => {} })),
  }),
  planted('tail-not-cut', 'recovery leaves a torn tail where it is', {
    disk: (disk) => altered(disk, () => ({ truncate: () => {} })),
  }),
  planted('batch-ids-not-rebuilt', 'a restart forgets which batches were pushed', {
    batchIds: () => BatchIds.create(BATCH_IDS),
  }),
  planted('gap-one-short', 'a gap is declared without its last record', {
    toSubscriber: (text) => {
      const message = text.startsWith('{"op":"gap"') ? JSON.parse(text) : {}
      if (message.cause !== 'slow' || message.to <= message.from) return text
      return JSON.stringify({ ...message, to: message.to - 1 })
    },
  }),
  planted('overrun-not-declared', 'records that overran the feed are passed over in silence', {
    lapper: (ring) => {
      const read = ring.read.bind(ring)
      ring.read = (out) => {
        const before = ring.seq
        read(out)
        return before
      }
      return ring
    },
  }),
  planted('retention-ignores-stores', 'segments go though a store has not read them', {
    stored: () => () => SEQ_MAX,
  }),
  planted('retention-one-too-many', 'retention takes the segment that is being stored for stored', {
    stored:
      ({ stored, durable }) =>
      () =>
        Math.min(stored() + RETENTION_SLIP_TICKS, durable()),
  }),
]

/** A segment or so. */
const RETENTION_SLIP_TICKS = 24

/** Gives each block that is whole in `bytes` the checksum that its records have. */
function mendChecksums(bytes: Uint8Array, offset: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = offset === 0 ? SEGMENT_HEADER_BYTES : 0
  for (; at + BLOCK_HEADER_BYTES <= bytes.length; at += TICK_BYTES) {
    if (view.getUint32(at + BLOCK_OFFSET.magic, true) !== BLOCK_MAGIC) continue
    const count = view.getUint32(at + BLOCK_OFFSET.tick_count, true)
    const end = at + BLOCK_HEADER_BYTES + count * TICK_BYTES
    if (count === 0 || end > bytes.length) continue
    const ticks = bytes.subarray(at + BLOCK_HEADER_BYTES, end)
    view.setUint32(at + BLOCK_OFFSET.ticks_crc, crc32(ticks), true)
    const header = bytes.subarray(at, at + BLOCK_OFFSET.header_crc)
    view.setUint32(at + BLOCK_OFFSET.header_crc, crc32(header), true)
  }
}
