// Numbers that say which decoder a frame is for. Dead letters have them on disk: append, never
// renumber.

export const FRAME_FORMAT = Object.freeze({
  binance: 1, // Binance spot JSON, raw or combined stream; REST snapshots wrapped (see decoder)
  binanceUsdm: 2, // Binance USD-M futures JSON
  ndjson: 3, // normalised records, one JSON object a line, whole lines
  packed: 4, // 64-byte ticks, a whole number of them
})

export type FrameFormatName = keyof typeof FRAME_FORMAT
