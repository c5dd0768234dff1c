// A reader of MessagePack, as far as the feed uses it: maps, lists, text, numbers, null, booleans.

const text = new TextDecoder()

/** Reads one value; throws a RangeError where the bytes end early or hold what is not listed. */
export function readMsgpack(bytes: Uint8Array): unknown {
  return new MsgpackReader(bytes).value()
}

class MsgpackReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  value(): unknown {
    const type = this.#view.getUint8(this.#at++)
    if (type < 0x80) return type
    if (type < 0x90) return this.#map(type & 0x0f)
    if (type < 0xa0) return this.#list(type & 0x0f)
    if (type < 0xc0) return this.#text(type & 0x1f)
    if (type >= 0xe0) return type - 0x100
    return this.#long(type)
  }

  #long(type: number): unknown {
    const view = this.#view
    switch (type) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xca:
        return view.getFloat32(this.#take(4))
      case 0xcb:
        return view.getFloat64(this.#take(8))
      case 0xcc:
        return this.#uint(1)
      case 0xcd:
        return this.#uint(2)
      case 0xce:
        return this.#uint(4)
      case 0xcf:
        return Number(view.getBigUint64(this.#take(8)))
      case 0xd0:
        return view.getInt8(this.#take(1))
      case 0xd1:
        return view.getInt16(this.#take(2))
      case 0xd2:
        return view.getInt32(this.#take(4))
      case 0xd3:
        return Number(view.getBigInt64(this.#take(8)))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(2 ** (type - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#list(this.#uint(2 * (type - 0xdb)))
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 * (type - 0xdd)))
      default:
        throw new RangeError(`no MessagePack of the feed: type 0x${type.toString(16)}`)
    }
  }

  #take(size: number): number {
    const at = this.#at
    this.#at += size
    return at
  }

  #uint(size: number): number {
    const at = this.#take(size)
    if (size === 1) return this.#view.getUint8(at)
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at)
  }

  #text(size: number): string {
    const at = this.#take(size)
    if (this.#at > this.#bytes.length) throw new RangeError('the MessagePack ends early')
    return text.decode(this.#bytes.subarray(at, this.#at))
  }

  #list(count: number): unknown[] {
    const list: unknown[] = []
    for (let i = 0; i < count; i++) list.push(this.value())
    return list
  }

  #map(count: number): Record<string, unknown> {
    const map: Record<string, unknown> = {}
    for (let i = 0; i < count; i++) {
      const key = String(this.value())
      map[key] = this.value()
    }
    return map
  }
}
