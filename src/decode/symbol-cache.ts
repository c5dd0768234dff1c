// hot path
// Quoted symbols as they came lately -> instrument, without looking for the end of their text.
//
// A feed carries a few symbols in turn. A slot is chosen by the eight bytes behind the quote (of a
// short symbol some of them are the next member's name, alike in messages of one kind), and holds
// the last symbol that came there, quotes included: equal bytes up to the closing quote are the
// same symbol. What is not found is resolved in full.

const SLOTS = 1024
/** A longer symbol, with its quotes, is resolved anew each time. */
const TEXT_BYTES_MAX = 32
const MIX = 0x9e3779b1
const SLOT_SHIFT = 22

export class SymbolCache {
  readonly #texts = new Int32Array((SLOTS * TEXT_BYTES_MAX) / 4)
  readonly #bytes = new Uint8Array(this.#texts.buffer)
  /** Of a text of 8 … 16 bytes: the first eight and the last eight. */
  readonly #firsts = new Float64Array(SLOTS)
  readonly #lasts = new Float64Array(SLOTS)
  readonly #sizes = new Uint8Array(SLOTS)
  readonly #instruments = new Uint32Array(SLOTS)
  /** Bytes of the text found last. */
  size = 0

  /** Instrument of the quoted symbol at `at`, its bytes counted in `size`; 0 = not known. */
  find(view: DataView, at: number): number {
    if (at + TEXT_BYTES_MAX > view.byteLength) return 0
    const slot = slotOf(view, at)
    const size = this.#sizes[slot] as number
    if (size === 0) return 0
    if (size <= 16 && size >= 8) {
      // The first eight bytes and the last are all of it. As doubles: see eightBytes.
      const isSame =
        view.getFloat64(at, true) === this.#firsts[slot] &&
        view.getFloat64(at + size - 8, true) === this.#lasts[slot]
      this.size = size
      return isSame ? (this.#instruments[slot] as number) : 0
    }
    const texts = this.#texts
    const first = slot * (TEXT_BYTES_MAX / 4)
    const words = size >> 2
    for (let i = 0; i < words; i++) {
      if (view.getInt32(at + 4 * i, true) !== texts[first + i]) return 0
    }
    const rest = (size & 3) << 3
    if (rest !== 0) {
      const difference = view.getInt32(at + 4 * words, true) ^ (texts[first + words] as number)
      if (difference << (32 - rest) !== 0) return 0
    }
    this.size = size
    return this.#instruments[slot] as number
  }

  /** Notes the instrument of the quoted symbol at `at`, of `size` bytes with its quotes. */
  remember(view: DataView, at: number, size: number, instrument: number): void {
    if (size > TEXT_BYTES_MAX || at + TEXT_BYTES_MAX > view.byteLength) return
    const slot = slotOf(view, at)
    for (let i = 0; i < size; i++) this.#bytes[slot * TEXT_BYTES_MAX + i] = view.getUint8(at + i)
    if (size >= 8) {
      this.#firsts[slot] = view.getFloat64(at, true)
      this.#lasts[slot] = view.getFloat64(at + size - 8, true)
    }
    this.#sizes[slot] = size
    this.#instruments[slot] = instrument
  }
}

function slotOf(view: DataView, at: number): number {
  const mixed = view.getInt32(at + 1, true) ^ Math.imul(view.getInt32(at + 5, true), MIX)
  return Math.imul(mixed, MIX) >>> SLOT_SHIFT
}
