// The native addon: found, loaded, checked against this program's layout, or explained away.
//
// The one place that knows where it lies. TICKD_KERNELS chooses: js, native, or auto (native where
// it loads). A native build that is asked for and does not load is an error, not a silent
// fall-back; with auto the reason is kept, and said at start. Each thread loads it for itself.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { errorText, TickdError } from '../errors.ts'
import { LAYOUT_ID } from './layout-id.ts'

const PATH = resolve(import.meta.dirname, '../../build/Release/tickd.node')

/** A decoder's native half. `run` works on what was bound last: see control.ts. */
export interface NativeSession {
  bind(input: Uint8Array, ticks: Uint8Array, origins: Int32Array): void
  run(): void
}

/** What native/addon.cc exports. */
export interface Addon {
  readonly layoutId: number
  /** `kernel`: KERNEL. `instruments`: all of an instrument table's memory. */
  decoder(
    kernel: number,
    control: Float64Array,
    instruments: Uint8Array,
    capacity: number,
    venue: Uint8Array,
  ): NativeSession
  encodeCopy(
    kind: number,
    ticks: Uint8Array,
    order: Int32Array,
    from: number,
    to: number,
    shard: number,
    firstSeq: number,
    out: DataView,
    offset: number,
  ): number
  /**
   * Ticks [first, first + count) into the words of a latest table: see latest-writer.ts. `stamps`:
   * a word a slot, `run` differs from that of the runs before.
   */
  applyLatest(
    table: Int32Array,
    stamps: Int32Array,
    ticks: Uint8Array,
    first: number,
    count: number,
    firstSeq: number,
    run: number,
  ): void
  /** The CRC-32 of bytes[start, end) behind others of which it is `before`. Not on every CPU. */
  crc32?(bytes: Uint8Array, start: number, end: number, before: number): number
  /** One datagram to a unix socket ('@' first = abstract); 0, or the system's error number. */
  notify(path: string, text: string): number
  /**
   * From now on this thread may be ended from outside although foreign sockets are open. Where
   * inTurn[0] is 0 it may be in a handler of theirs, which is let come to its end. Memory outside
   * the JavaScript heap, kept for as long as the thread lives.
   */
  guardLoop(key: number, inTurn: Int32Array): void
  /** Any thread: the guarded one closes its foreign sockets and leaves the JavaScript it is in. */
  endLoop(key: number): void
  /** Any thread: true once that is done, and where no loop of the key is guarded. */
  hasLoopEnded(key: number): boolean
  /** Any thread: the guarded one, which stands still since, goes on to its end: it was told to. */
  letLoopGo(key: number): void
  /** Bytes that a socket takes before it is full; 0, or the system's error number. */
  setSendBuffer(descriptor: number, bytes: number): number
  /** The calling thread runs in slices of so many microseconds; 0, or the system's error number. */
  setTimeSlice(sliceUs: number): number
}

export interface KernelChoice {
  readonly name: 'js' | 'native'
  /** Why these, for the log. */
  readonly why: string
  /** Present where the name is native. */
  readonly addon?: Addon
}

export const KERNEL_CHOICES = ['auto', 'js', 'native'] as const

/** The kernels for a choice of TICKD_KERNELS. Throws TickdError CONFIG_INVALID. */
export function chooseAddon(choice: string, path: string = PATH): KernelChoice {
  switch (choice) {
    case 'js':
      return { name: 'js', why: 'TICKD_KERNELS=js' }
    case 'native':
    case 'auto':
    case '':
      break
    default:
      throw new TickdError(
        'CONFIG_INVALID',
        `TICKD_KERNELS=${choice} is not one of ${KERNEL_CHOICES.join(', ')}`,
      )
  }
  const found = load(path)
  if (typeof found !== 'string') return { name: 'native', why: 'built and loaded', addon: found }
  if (choice !== 'native') return { name: 'js', why: found }
  throw new TickdError(
    'CONFIG_INVALID',
    `TICKD_KERNELS=native, and ${found}; build them with: sh scripts/build-native --must, ` +
      'or set it to auto or js',
  )
}

let chosen: KernelChoice | undefined

/** What the environment chose, once a thread. */
export function activeAddon(): KernelChoice {
  chosen ??= chooseAddon(process.env.TICKD_KERNELS ?? 'auto')
  return chosen
}

let systemChosen: Addon | undefined | null = null

/**
 * What the addon does that JavaScript cannot, whichever kernels were chosen; undefined where it is
 * not built or does not load. Once a thread.
 */
export function systemAddon(): Addon | undefined {
  if (systemChosen === null) {
    const found = load(PATH)
    // One of an earlier build has the kernels, and not the last of these.
    const isWhole = typeof found !== 'string' && 'setSendBuffer' in found
    systemChosen = isWhole ? found : undefined
  }
  return systemChosen
}

/** The addon, or why there is none. */
function load(path: string): Addon | string {
  if (!existsSync(path)) return 'the native kernels are not built'
  let addon: Addon
  try {
    addon = createRequire(import.meta.url)(path) as Addon
  } catch (error) {
    return `the native kernels do not load (${errorText(error)})`
  }
  if (addon.layoutId === LAYOUT_ID) return addon
  return 'the native kernels were built from other sources than these'
}
