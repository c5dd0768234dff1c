// The contract of a capture: a file of recorded frames, read in order, in bounded memory.
//
// Only what was received is a frame: `recv` lines and the answers in `http` lines. The other lines
// (headers, what was opened, sent, closed) are markers, counted and passed over. A book snapshot
// that was fetched over HTTP becomes a frame in the form of a combined stream,
// `{"stream":"btcusdt@depthSnapshot","data":<body>}`, as the live source makes it.
//
// Reading is a pull: `next()` until it gives undefined, `await fill()`, and again until that is
// false. A file that is not what its name and format say is a TickdError CAPTURE_INVALID with the
// file and the line; a line that is too long for a frame is counted, and its frame left out.

export const CAPTURE_FORMATS = ['tickd', 'cryptofeed', 'ns-line', 'raw'] as const
export type CaptureFormat = (typeof CAPTURE_FORMATS)[number]

/** What an `http` line's body is: the answer to a depth request of Binance, or a frame as it is. */
export type HttpBodies = 'binance-depth' | 'verbatim'

export interface CaptureOptions {
  readonly format: CaptureFormat
  readonly http: HttpBodies
}

/** One frame. The object is reused: it and its bytes are valid until the next `next()`. */
export interface CaptureFrame {
  /** The payload is bytes[start, end). */
  bytes: Uint8Array
  start: number
  end: number
  /** Receive time as recorded, UTC. Zeros where `timed` is false. */
  tsSec: number
  tsNsec: number
  /** False: the format records no times (raw); the reader of the capture stamps its own. */
  timed: boolean
  /** The connection, as the capture names it; '' where it does not. */
  conn: string
  /**
   * A snapshot that was recorded apart from its stream and belongs to the frame that comes next,
   * which is the first to need it: the two count as one frame.
   */
  attached: boolean
}

/** Lines so far. lines = frames + attached + unused + held now + markers + oversize. */
export interface CaptureCounts {
  lines: number
  /** Frames, without the attached ones. */
  frames: number
  /** Snapshots delivered as attached frames. */
  attached: number
  /** Snapshots that were held to the end of the file: no frame needed them. */
  unused: number
  /** Lines that are no frames: headers, open, connect, send, close, other HTTP answers, blanks. */
  markers: number
  /** Frames longer than FRAME_BYTES_MAX, left out. */
  oversize: number
}

export interface CaptureReader {
  readonly path: string
  readonly counts: Readonly<CaptureCounts>
  /** Bytes of the file read so far, packed, for progress. */
  readonly bytesRead: number
  /** Size of the file when it was opened. */
  readonly size: number
  /** The next frame in memory; undefined = call `fill`. */
  next(): CaptureFrame | undefined
  /** Reads on. False when the file is at its end and `next` has given everything. */
  fill(): Promise<boolean>
  close(): Promise<void>
}
