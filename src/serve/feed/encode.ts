// The sub-protocols of the feed: one gathered frame, three encodings of it.
//
// The same records, stream, epoch and first sequence in each; record i has sequence first_seq + i,
// which is why no record repeats it. Encoded once a frame, whatever the number of subscribers.

import { Encoder } from '@msgpack/msgpack'
import type { InstrumentTable } from '../../tick/instruments.ts'
import { type TickObject, tickToJson, tickToObject } from '../../tick/json.ts'
import type { Frame } from './fb-frame.ts'

export const PROTOCOLS = ['tickd.v1.fb', 'tickd.v1.msgpack', 'tickd.v1.json'] as const
export type Protocol = (typeof PROTOCOLS)[number]
/** For clients that name none: what a person with a terminal wants. */
export const PROTOCOL_DEFAULT: Protocol = 'tickd.v1.json'

export interface FrameIdentity {
  readonly stream: number
  readonly epoch: number
  readonly firstSeq: number
}

export interface Encoding {
  /** Rough size of a record, to judge how large an image will be. */
  readonly recordBytes: number
  readonly isBinary: boolean
  /** The bytes may alias the frame: they are to be sent before it is touched again. */
  encode(frame: Frame, identity: FrameIdentity, instruments: InstrumentTable): Uint8Array
}

const textEncoder = new TextEncoder()
const msgpack = new Encoder()

export const ENCODINGS: Readonly<Record<Protocol, Encoding>> = {
  'tickd.v1.fb': {
    recordBytes: 64,
    isBinary: true,
    encode: (frame, { firstSeq }) => frame.encode(firstSeq),
  },
  'tickd.v1.msgpack': {
    recordBytes: 220,
    isBinary: true,
    encode: (frame, { stream, epoch, firstSeq }, instruments) => {
      const t: TickObject[] = []
      for (let i = 0; i < frame.batch.count; i++) t.push(tickToObject(frame.batch, i, instruments))
      return msgpack.encode({ s: stream, e: epoch, q: firstSeq, t })
    },
  },
  'tickd.v1.json': {
    recordBytes: 280,
    isBinary: false,
    encode: (frame, { stream, epoch, firstSeq }, instruments) => {
      let text = `{"op":"data","stream":${stream},"epoch":${epoch},"first_seq":${firstSeq},`
      text += '"records":['
      for (let i = 0; i < frame.batch.count; i++) {
        if (i > 0) text += ','
        text += tickToJson(frame.batch, i, instruments)
      }
      return textEncoder.encode(`${text}]}`)
    },
  },
}

/** The client's first choice among those that we know; undefined when we know none of them. */
export function chooseProtocol(offered: readonly string[]): Protocol | undefined {
  const known: readonly string[] = PROTOCOLS
  return offered.find((name): name is Protocol => known.includes(name))
}
