import t from 'tap'
import { WsParser } from '../../../bench/ws-reader.ts'

function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const size = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const header = Buffer.alloc(size)
  header[0] = 0x80 | opcode
  header[1] = size === 2 ? length : size === 4 ? 126 : 127
  if (size === 4) header.writeUInt16BE(length, 2)
  if (size === 10) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, payload])
}

function payloadOf(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff))
}

interface Seen {
  readonly texts: string[]
  readonly pings: string[]
  readonly binaries: { head: Buffer; length: number }[]
}

function parse(stream: Buffer, headBytes: number, cuts: (at: number) => number): Seen {
  const seen: Seen = { texts: [], pings: [], binaries: [] }
  const handler = {
    onText: (text: string) => void seen.texts.push(text),
    onBinary: (data: Buffer, start: number, end: number, length: number) =>
      void seen.binaries.push({ head: Buffer.from(data.subarray(start, end)), length }),
  }
  const parser = new WsParser(handler, headBytes, (ping) => void seen.pings.push(String(ping)))
  for (let at = 0; at < stream.length; ) {
    const end = Math.min(stream.length, at + cuts(at))
    // Read into the same buffer again, as the socket does.
    const read = Buffer.from(stream.subarray(at, end))
    parser.push(read, 0, read.length)
    read.fill(0xee)
    at = end
  }
  return seen
}

t.test('frames of every length come whole, wherever reads cut them', async (t) => {
  const lengths = [0, 1, 125, 126, 127, 1000, 65_535, 65_536, 70_000]
  const stream = Buffer.concat(lengths.map((length, i) => frame(2, payloadOf(length, i))))
  for (const size of [1, 2, 3, 7, 100, 4096, 65_536, stream.length]) {
    const { binaries } = parse(stream, Number.POSITIVE_INFINITY, () => size)
    t.equal(binaries.length, lengths.length, `reads of ${size}`)
    binaries.forEach(({ head, length }, i) => {
      t.equal(length, lengths[i])
      t.ok(head.equals(payloadOf(lengths[i] as number, i)), `frame ${i} at reads of ${size}`)
    })
  }
})

t.test('where only the head is wanted, the rest is passed over', async (t) => {
  const lengths = [10, 64, 65, 5000]
  const stream = Buffer.concat(lengths.map((length, i) => frame(2, payloadOf(length, i))))
  for (const size of [1, 5, 64, 70, stream.length]) {
    const { binaries } = parse(stream, 64, () => size)
    t.same(
      binaries.map(({ head, length }) => [head.length, length]),
      lengths.map((length) => [Math.min(length, 64), length]),
    )
    t.ok(binaries.at(-1)?.head.equals(payloadOf(5000, 3).subarray(0, 64)))
  }
})

t.test('text and pings are told from data', async (t) => {
  const stream = Buffer.concat([
    frame(1, Buffer.from('{"op":"welcome"}')),
    frame(9, Buffer.from('tick')),
    frame(2, payloadOf(3, 1)),
    frame(10, Buffer.alloc(0)),
  ])
  const seen = parse(stream, 64, () => 3)
  t.same(seen.texts, ['{"op":"welcome"}'])
  t.same(seen.pings, ['tick'])
  t.equal(seen.binaries.length, 1)
})

t.test('masked, fragmented and closing frames are errors', async (t) => {
  const fragment = frame(2, payloadOf(3, 1))
  fragment[0] = 2
  t.throws(() => parse(fragment, 64, () => 100), /unexpected/)
  const masked = frame(2, payloadOf(3, 1))
  masked[1] = 0x83
  t.throws(() => parse(masked, 64, () => 100), /unexpected/)
  const goodbye = Buffer.concat([Buffer.from([3, 232]), Buffer.from('going away')])
  t.throws(() => parse(frame(8, goodbye), 64, () => 100), /going away/)
})
