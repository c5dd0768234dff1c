// One line of a JSON Lines capture -> what it is: a frame, a snapshot, or a marker.
//
//   tickd       {"t":"open|send|recv|http|close","conn":n,"ts_ns":n,"data"|"b64":…,"url"?}
//   cryptofeed  {"t":"header|connect|send|recv|http",…,"conn":"…","ts":seconds,"data"|"b64":…}
//
// Not a parser of frames: `data` is text and stays text. Receive times are exact: nanoseconds of
// tickd's captures exceed a double and are taken from the text, cryptofeed's are the shortest text
// of a double, which JSON.parse keeps.

/** The kinds of line. */
export type LineKind = 'frame' | 'http' | 'marker'

export interface CaptureLine {
  kind: LineKind
  bytes: Buffer
  conn: string
  url: string
  tsSec: number
  tsNsec: number
}

/** Line types that are no frames, by format. */
const MARKERS = Object.freeze({
  tickd: ['open', 'send', 'close'],
  cryptofeed: ['header', 'connect', 'send', 'close'],
})

// Within a JSON string a quote has a backslash before it, so this only ever finds the member.
const TS_NS = /"ts_ns"\s*:\s*"?(\d{1,19})\b/
const SECONDS = /^(\d{1,10})(?:\.(\d+))?$/
const NO_BYTES = Buffer.alloc(0)

/** Reads one line. Returns a description of what is wrong with it where it is not of the format. */
export function readJsonLine(
  text: string,
  format: 'tickd' | 'cryptofeed',
  out: CaptureLine,
): string | undefined {
  let line: Record<string, unknown>
  try {
    line = JSON.parse(text)
  } catch {
    return 'is not JSON'
  }
  const type = line?.t
  if (typeof type !== 'string') return 'has no type "t"'
  out.bytes = NO_BYTES
  out.kind = 'marker'
  if (MARKERS[format].includes(type)) return undefined
  if (type !== 'recv' && type !== 'http') return `has the unknown type "${type}"`
  if (!(format === 'tickd' ? readNs(text, out) : readSeconds(line.ts, out))) {
    return `has no time "${format === 'tickd' ? 'ts_ns' : 'ts'}"`
  }
  if (typeof line.data === 'string') out.bytes = Buffer.from(line.data, 'utf8')
  else if (typeof line.b64 === 'string') out.bytes = Buffer.from(line.b64, 'base64')
  else return 'has neither "data" nor "b64"'
  out.kind = type === 'http' ? 'http' : 'frame'
  out.conn = String(line.conn ?? '')
  out.url = typeof line.url === 'string' ? line.url : ''
  return undefined
}

function readNs(text: string, out: CaptureLine): boolean {
  const digits = TS_NS.exec(text)?.[1]
  if (digits === undefined) return false
  out.tsSec = Number(digits.slice(0, -9) || '0')
  out.tsNsec = Number(digits.slice(-9))
  return true
}

function readSeconds(ts: unknown, out: CaptureLine): boolean {
  const match = typeof ts === 'number' ? SECONDS.exec(String(ts)) : null
  if (match === null) return false
  out.tsSec = Number(match[1])
  out.tsNsec = Number((match[2] ?? '').padEnd(9, '0').slice(0, 9))
  return true
}
