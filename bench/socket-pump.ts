// Reads many sockets on a thread of its own, and tells when what it read came: for live benches.
//
// What a subscriber on another machine does costs the daemon nothing; here it takes from the same
// processors. So the thread that reads does no more than that, natively: socket → ring, with the
// time at which the system got the bytes for this socket (SO_TIMESTAMPNS). It need not hurry then,
// and is not woken for each of many. What was read is looked at later, by whoever calls `drain`.

import { Worker } from 'node:worker_threads'

const UNIT_BYTES = 8
const HEADER_BYTES = 16
const SKIP = 0xffff_ffff
/** Words of the ring's control, as in native/bench/load_tools.h. */
const WORD = Object.freeze({ written: 0, read: 1, isStopped: 2, error: 3 })
const WORD_COUNT = 4
/** Error numbers below it are the system's; from it on, the socket that was closed. */
const END = 1_000_000

export interface PumpTask {
  readonly descriptors: Int32Array
  readonly ring: Uint8Array
  readonly words: Int32Array
  /** The reading thread has the processors first, where that is allowed. */
  readonly isFirst: boolean
}

/** Bytes data[start, end) of the socket `index`; the last came at `cameNs` of process.hrtime. */
export type OnRead = (
  index: number,
  data: Buffer,
  start: number,
  end: number,
  cameNs: number,
) => void

export class SocketPump {
  readonly #ring: Buffer
  readonly #units: number
  readonly #words: Int32Array
  readonly #onRead: OnRead

  /**
   * Reads `descriptors` from now on; nobody else may. A ring of `ringBytes`, a power of two from
   * 256 KiB: while it is full nothing is read. Needs the native part (load-tools.ts).
   */
  constructor(descriptors: readonly number[], ringBytes: number, isFirst: boolean, onRead: OnRead) {
    const ring = new Uint8Array(new SharedArrayBuffer(ringBytes))
    this.#ring = Buffer.from(ring.buffer)
    this.#units = ringBytes / UNIT_BYTES
    this.#words = new Int32Array(new SharedArrayBuffer(WORD_COUNT * 4))
    this.#onRead = onRead
    const task = { descriptors: Int32Array.from(descriptors), ring, words: this.#words, isFirst }
    const worker = new Worker(new URL('./socket-pump-worker.ts', import.meta.url), {
      workerData: task satisfies PumpTask,
    })
    worker.on('error', (error) => {
      throw error
    })
    // It ends with the process, not the process with it.
    worker.unref()
  }

  /** Hands on all that has been read by now. Throws once a socket was closed or failed. */
  drain(): void {
    // Before the position: what was read before the error is handed on before it.
    const error = Atomics.load(this.#words, WORD.error)
    // Acquires what the reading thread released: the entries below are whole.
    const written = Atomics.load(this.#words, WORD.written)
    // Only this thread writes it.
    let read = Atomics.load(this.#words, WORD.read)
    while (read !== written) {
      const at = (read & (this.#units - 1)) * UNIT_BYTES
      const bytes = this.#ring.readUInt32LE(at + 4)
      if (bytes === SKIP) {
        read = (read + this.#units - at / UNIT_BYTES) | 0
        continue
      }
      const start = at + HEADER_BYTES
      const cameNs = this.#ring.readDoubleLE(at + 8)
      this.#onRead(this.#ring.readUInt32LE(at), this.#ring, start, start + bytes, cameNs)
      read = (read + Math.ceil((HEADER_BYTES + bytes) / UNIT_BYTES)) | 0
      // Releases the entry: its room may be written anew.
      Atomics.store(this.#words, WORD.read, read)
    }
    if (error >= END) throw new Error(`the server closed connection ${error - END}`)
    if (error > 0) throw new Error(`a connection could not be read: error ${error}`)
  }

  /** The thread reads no more, soon. */
  stop(): void {
    // Seen by its next look, within milliseconds.
    Atomics.store(this.#words, WORD.isStopped, 1)
  }
}
