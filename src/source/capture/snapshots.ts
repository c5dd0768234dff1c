// Book snapshots in captures: recognised by their address, wrapped as the live source wraps them,
// and, where a capture keeps them apart from the stream, held until the stream needs them.
//
// A cryptofeed capture has its HTTP answers first, whenever they came: a snapshot is held until
// the first depth update of its symbol, a later snapshot of the same symbol until an update that
// was received after it. Bounded: beyond HELD_BYTES_MAX nothing more is held.

import { MIB } from '../../limits.ts'

/** All snapshots held at once. */
const HELD_BYTES_MAX = 64 * MIB

/** A depth update: of a combined stream by the stream's name, of a raw one by its type. */
const COMBINED_DEPTH = /^\s*\{\s*"stream"\s*:\s*"([^"@]+)@depth["@]/
const RAW_DEPTH = /^\s*\{\s*"e"\s*:\s*"depthUpdate"[^{[]*"s"\s*:\s*"([^"]+)"/
const HEAD_BYTES = 256

export interface HeldSnapshot {
  bytes: Buffer
  conn: string
  tsSec: number
  tsNsec: number
}

/** The symbol that a depth request of Binance asked for; undefined for any other address. */
export function depthSymbol(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  const { pathname, searchParams } = new URL(url)
  if (!pathname.endsWith('/depth')) return undefined
  return searchParams.get('symbol')?.toLowerCase() || undefined
}

/** The frame that a snapshot travels as. */
export function wrapSnapshot(symbol: string, body: Uint8Array): Buffer {
  const head = Buffer.from(`{"stream":${JSON.stringify(`${symbol}@depthSnapshot`)},"data":`)
  return Buffer.concat([head, body, Buffer.from('}')])
}

export class SnapshotHold {
  readonly #bySymbol = new Map<string, HeldSnapshot[]>()
  readonly #used = new Set<string>()
  #bytes = 0
  count = 0

  /** Holds a snapshot; false when there is no room. */
  hold(symbol: string, snapshot: HeldSnapshot): boolean {
    if (this.#bytes + snapshot.bytes.length > HELD_BYTES_MAX) return false
    const held = this.#bySymbol.get(symbol)
    if (held === undefined) this.#bySymbol.set(symbol, [snapshot])
    else held.push(snapshot)
    this.#bytes += snapshot.bytes.length
    this.count++
    return true
  }

  /** The snapshot that this frame, received at the time given, needs; undefined for none. */
  take(frame: Buffer, tsSec: number, tsNsec: number): HeldSnapshot | undefined {
    if (this.count === 0) return undefined
    const head = frame.toString('latin1', 0, HEAD_BYTES)
    const symbol = (COMBINED_DEPTH.exec(head) ?? RAW_DEPTH.exec(head))?.[1]?.toLowerCase()
    if (symbol === undefined) return undefined
    const held = this.#bySymbol.get(symbol)
    const first = held?.[0]
    if (held === undefined || first === undefined) return undefined
    const isPast = first.tsSec < tsSec || (first.tsSec === tsSec && first.tsNsec <= tsNsec)
    if (this.#used.has(symbol) && !isPast) return undefined
    held.shift()
    this.#used.add(symbol)
    this.#bytes -= first.bytes.length
    this.count--
    return first
  }
}
