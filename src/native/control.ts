// The words by which a JS decoder and its native kernel talk: one Float64Array each decoder.
//
// In place of arguments: a call across the boundary then costs little more than the call itself.
// JS writes IN and calls; the kernel writes OUT. Every value is a whole number that a double holds
// exactly. The generated header has the same numbers.

/** What a kernel is asked to do. */
export const IN = Object.freeze({
  /** The frame: bytes [start, end) of the bound input. */
  start: 0,
  end: 1,
  /** Time of receipt. */
  recvSec: 2,
  recvNsec: 3,
  source: 4,
  /** FLAG bits of every record. */
  flags: 5,
  /** Records that the bound batch has, and how many it may have. */
  count: 6,
  capacity: 7,
  /** Frames lie behind this one on its ring, up to here; 0 = none that is known. Binance only. */
  behindEnd: 8,
})

/**
 * What it did. Binance kernels write `code`, `ahead`, and what a depth update is; the others write
 * `count`, `next`, `isLeft`, `leftEnd` and, where count has grown, `decoded`.
 */
export const OUT = Object.freeze({
  /** BINANCE_CODE. */
  code: 9,
  /** Records of frames behind this one; they and their origins lie behind the batch's count. */
  ahead: 10,
  /** Records that the batch has now. */
  count: 11,
  /** Where it stopped. */
  next: 12,
  /** 1 = at a message that is left to the JS twin, and where that ends. */
  isLeft: 13,
  leftEnd: 14,
  /** Of a depth update: see DepthUpdate in binance_kernel.h. */
  instrument: 15,
  levelCount: 16,
  firstId: 17,
  lastId: 18,
  previousId: 19,
  /** Messages decoded, by kind: KIND_COUNT words from here on. */
  decoded: 20,
})

export const CONTROL_WORDS = 28

/** What became of a Binance message; as in binance_kernel.h. */
export const BINANCE_CODE = Object.freeze({ left: 0, trade: 1, quote: 2, depth: 3 })

/** Which kernel a native decoder runs. */
export const KERNEL = Object.freeze({ binance: 0, binanceUsdm: 1, ndjson: 2, packed: 3 })
