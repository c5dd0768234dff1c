// A WebSocket client that costs next to nothing: a socket, one shared read buffer, a small parser.
//
// For benches, where the client must not be the limit: frames are looked at where they were read;
// only one that is cut in two by a read is copied. Server frames are unmasked and unfragmented (as
// uWebSockets.js sends them); anything else is an error.

import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const OPCODE = Object.freeze({ text: 1, binary: 2, close: 8, ping: 9, pong: 10 })
const FIN = 0x80
const MASKED = 0x80
const LENGTH_16 = 126
const LENGTH_64 = 127
const MASK_BYTES = 4
const READ_BYTES = 512 * 1024
/** Grows as it must: there may be thousands of connections. */
const KEPT_BYTES = 1024

/** All sockets read into it: what is read is used before the next read. */
const readBuffer = Buffer.allocUnsafe(READ_BYTES)

export interface WsHandler {
  onText(text: string): void
  /** A data frame's first bytes, data[start, end), at most `headBytes` of its `length`. */
  onBinary(data: Buffer, start: number, end: number, length: number): void
}

export interface WsOptions extends WsHandler {
  readonly url: string
  readonly protocol?: string
  /** Bytes of a data frame that are wanted; the rest is counted and passed over. */
  readonly headBytes: number
}

/** Cuts the bytes of a server into frames. Apart from the socket, for its test. */
export class WsParser {
  readonly #handler: WsHandler
  readonly #headBytes: number
  readonly #onPing: (payload: Buffer) => void
  /** The begin of a frame that a read has cut. */
  #kept = Buffer.allocUnsafe(KEPT_BYTES)
  #keptCount = 0
  /** Bytes of the current frame that nobody wants. */
  #passOver = 0
  /** Of the frame at hand: see #measure. */
  #headerBytes = 0
  #length = 0

  constructor(handler: WsHandler, headBytes: number, onPing: (payload: Buffer) => void) {
    this.#handler = handler
    this.#headBytes = headBytes
    this.#onPing = onPing
  }

  push(data: Buffer, start: number, end: number): void {
    let at = start
    while (at < end) {
      if (this.#passOver > 0) {
        const count = Math.min(this.#passOver, end - at)
        this.#passOver -= count
        at += count
      } else if (this.#keptCount > 0) {
        at = this.#complete(data, at, end)
      } else {
        const needed = this.#measure(data, at, end)
        if (needed > end - at) {
          this.#keep(data, at, end)
          return
        }
        this.#frame(data, at, at + needed)
        at += needed
      }
    }
  }

  /** Adds to the kept bytes what the frame lacks; hands it on when it is complete. */
  #complete(data: Buffer, start: number, end: number): number {
    let at = start
    for (;;) {
      const needed = this.#measure(this.#kept, 0, this.#keptCount)
      const count = Math.min(needed - this.#keptCount, end - at)
      this.#keep(data, at, at + count)
      at += count
      if (this.#keptCount < needed) return at
      // The header may only now be known.
      if (this.#measure(this.#kept, 0, this.#keptCount) > this.#keptCount) continue
      const size = this.#keptCount
      this.#keptCount = 0
      this.#frame(this.#kept, 0, size)
      return at
    }
  }

  #keep(data: Buffer, start: number, end: number): void {
    const count = this.#keptCount + end - start
    if (count > this.#kept.length) {
      const grown = Buffer.allocUnsafe(2 * count)
      this.#kept.copy(grown, 0, 0, this.#keptCount)
      this.#kept = grown
    }
    data.copy(this.#kept, this.#keptCount, start, end)
    this.#keptCount = count
  }

  /** Bytes of header and wanted payload; more than there are when the header is not whole. */
  #measure(data: Buffer, start: number, end: number): number {
    if (end - start < 2) return 2
    const first = data[start] as number
    const second = data[start + 1] as number
    if ((first & FIN) === 0 || (second & MASKED) !== 0) throw new Error('an unexpected frame')
    this.#headerBytes = second === LENGTH_64 ? 10 : second === LENGTH_16 ? 4 : 2
    if (end - start < this.#headerBytes) return this.#headerBytes
    this.#length =
      second === LENGTH_64
        ? data.readUInt32BE(start + 2) * 2 ** 32 + data.readUInt32BE(start + 6)
        : second === LENGTH_16
          ? data.readUInt16BE(start + 2)
          : second
    const isBinary = (first & 0x0f) === OPCODE.binary
    const wanted = isBinary ? Math.min(this.#length, this.#headBytes) : this.#length
    return this.#headerBytes + wanted
  }

  /** A frame as #measure has found it. */
  #frame(data: Buffer, start: number, end: number): void {
    const payload = start + this.#headerBytes
    this.#passOver = this.#length - (end - payload)
    const opcode = (data[start] as number) & 0x0f
    if (opcode === OPCODE.binary) {
      this.#handler.onBinary(data, payload, end, this.#length)
    } else if (opcode === OPCODE.text) {
      this.#handler.onText(data.toString('utf8', payload, end))
    } else if (opcode === OPCODE.ping) {
      this.#onPing(Buffer.from(data.subarray(payload, end)))
    } else if (opcode !== OPCODE.pong) {
      throw new Error(`closed by the server: ${data.toString('utf8', payload + 2, end)}`)
    }
  }
}

export class WsReader {
  readonly #socket: Socket
  readonly #parser: WsParser
  readonly #accept: string
  #isOpen = false
  #answer = Buffer.alloc(0)
  #ended = false

  constructor(options: WsOptions) {
    this.#parser = new WsParser(options, options.headBytes, (payload) =>
      this.#send(OPCODE.pong, payload),
    )
    const { hostname, port, host, pathname } = new URL(options.url)
    const key = randomBytes(16).toString('base64')
    this.#accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (count) => {
          this.#read(count)
          return true
        },
      },
    })
    this.#socket.on('error', (error) => {
      throw error
    })
    this.#socket.on('close', () => {
      if (!this.#ended) throw new Error(`${options.url} closed the connection`)
    })
    const protocol = options.protocol
    this.#socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n` +
        `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n` +
        `${protocol === undefined ? '' : `Sec-WebSocket-Protocol: ${protocol}\r\n`}\r\n`,
    )
  }

  sendText(text: string): void {
    this.#send(OPCODE.text, Buffer.from(text))
  }

  end(): void {
    this.#ended = true
    this.#socket.destroy()
  }

  /**
   * Reads its socket no more: whoever has the file descriptor, which this returns, does, and gives
   * what he reads to `take`.
   */
  handOver(): number {
    this.#socket.pause()
    return (this.#socket as unknown as { _handle: { fd: number } })._handle.fd
  }

  /** Data[start, end) that came on its socket. */
  take(data: Buffer, start: number, end: number): void {
    this.#parser.push(data, start, end)
  }

  #read(count: number): void {
    if (this.#isOpen) this.#parser.push(readBuffer, 0, count)
    else this.#open(readBuffer.subarray(0, count))
  }

  #open(data: Buffer): void {
    this.#answer = Buffer.concat([this.#answer, data])
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.#answer.toString('latin1', 0, end)
    if (!head.startsWith('HTTP/1.1 101') || !head.includes(this.#accept)) {
      throw new Error(`no WebSocket here: ${head}`)
    }
    this.#isOpen = true
    this.#parser.push(this.#answer, end + 4, this.#answer.length)
  }

  /** Frames of a client are masked: with zeroes, so that the payload stays as it is. */
  #send(opcode: number, payload: Buffer): void {
    if (payload.length >= 2 ** 16) throw new Error('a message of a client is short')
    const isLong = payload.length >= LENGTH_16
    const header = Buffer.alloc((isLong ? 4 : 2) + MASK_BYTES)
    header[0] = FIN | opcode
    header[1] = MASKED | (isLong ? LENGTH_16 : payload.length)
    if (isLong) header.writeUInt16BE(payload.length, 2)
    this.#socket.write(Buffer.concat([header, payload]))
  }
}
