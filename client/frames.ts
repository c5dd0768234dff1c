// A data message, in whatever sub-protocol: whose it is, and how it becomes a batch.
//
// In two steps, as only the subscription that it belongs to knows how it is to be taken.

import { type BatchKind, type FrameHead, ObjectBatch } from './batch.ts'
import { FlatBatch, type Names, readFlatFrame } from './flat-batch.ts'
import type { Protocol, ServerMessage } from './messages.ts'
import { readMsgpack } from './msgpack.ts'
import type { Batch, FeedRecord } from './record.ts'

export interface Frame {
  readonly head: FrameHead
  readonly toBatch: (names: Names, kind: BatchKind) => Batch
  /** The message's bytes, of which a replay has a digest. */
  readonly payload: () => Uint8Array
}

const textEncoder = new TextEncoder()

/** A text message with op `data`. */
export function textFrame(message: ServerMessage, text: string): Frame {
  const { stream, epoch, first_seq: firstSeq, records } = message
  return objectFrame(stream, epoch, firstSeq, records, () => textEncoder.encode(text))
}

/** A binary message. Throws a RangeError when it is not of the sub-protocol. */
export function binaryFrame(bytes: Uint8Array, protocol: Protocol): Frame {
  if (protocol === 'msgpack') {
    const { s, e, q, t } = readMsgpack(bytes) as Record<string, unknown>
    return objectFrame(s, e, q, t, () => bytes)
  }
  const frame = readFlatFrame(bytes)
  return {
    head: frame.head,
    toBatch: (names, kind) => new FlatBatch(frame, names, kind),
    payload: () => bytes,
  }
}

function objectFrame(
  stream: unknown,
  epoch: unknown,
  firstSeq: unknown,
  records: unknown,
  payload: () => Uint8Array,
): Frame {
  const head = { stream: Number(stream), epoch: Number(epoch), firstSeq: Number(firstSeq) }
  const toBatch = (_: Names, kind: BatchKind) => {
    return new ObjectBatch(head, records as FeedRecord[], kind)
  }
  return { head, toBatch, payload }
}
