// hot path
// Normalised trades as NDJSON, all lines of one width: rendered once, then only patched.
//
// A line's id counts up, and tells when the tick was due (live-load.ts). Ids begin at FIRST_ID, so
// that they all have as many digits; ts_event is the time of sending.

/** Ids have ten digits up to ten times this. */
export const FIRST_ID = 1_000_000_000
const ID_DIGITS = 10
/** Symbols of a load, where it names no number of them; and at most. */
export const SYMBOLS = 20
export const SYMBOLS_MAX = 1000
/** Sizes have two digits that tell symbols apart. */
const SIZE_COUNT = 90
const ZERO = 0x30
const TIME_TEXT = '2024-01-01T00:00:00.000'

const TEXTS = Array.from({ length: SYMBOLS_MAX }, (_, i) => {
  const symbol = symbolAt(i)
  const price = 20_000 + 37 * i
  const size = 10 + (i % SIZE_COUNT)
  const side = i % 2 === 0 ? '"buy", ' : '"sell",'
  return (
    `{"type":"trade","venue":"bench","symbol":"${symbol}","ts_event":"${TIME_TEXT}000000Z",` +
    `"id":"${FIRST_ID}","side":${side}"price":"${price}.25","size":"0.0012${size}"}\n`
  )
})
const [FIRST_TEXT = ''] = TEXTS

export const LINE_BYTES = FIRST_TEXT.length
const TIME_OFFSET = FIRST_TEXT.indexOf(TIME_TEXT)
const ID_OFFSET = FIRST_TEXT.indexOf(`"id":"`) + `"id":"`.length

/** Of two characters: S00-USD … S0Z-USD, S10-USD … */
export function symbolAt(index: number): string {
  return `S${index.toString(36).toUpperCase().padStart(2, '0')}-USD`
}

/** `count` lines, of one symbol after the other. */
export function renderLines(count: number, symbols = SYMBOLS): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => TEXTS[i % symbols]).join(''))
}

/** Gives the first `count` lines ids from `firstId` on, and `time` (as TIME_TEXT). */
export function patchLines(lines: Buffer, count: number, firstId: number, time: Buffer): void {
  for (let i = 0; i < count; i++) {
    const at = i * LINE_BYTES
    time.copy(lines, at + TIME_OFFSET)
    let id = firstId + i
    for (let digit = at + ID_OFFSET + ID_DIGITS - 1; digit >= at + ID_OFFSET; digit--) {
      const rest = Math.floor(id / 10)
      lines[digit] = ZERO + (id - rest * 10)
      id = rest
    }
  }
}

/** The id of the line at data[at]. */
export function idOfLine(data: Buffer, at: number): number {
  let id = 0
  for (let digit = at + ID_OFFSET; digit < at + ID_OFFSET + ID_DIGITS; digit++) {
    id = id * 10 + (data[digit] as number) - ZERO
  }
  return id
}

/** TIME_TEXT for the present. */
export function timeText(): Buffer {
  return Buffer.from(new Date().toISOString().slice(0, -1))
}
