// Streams: what subscribers with the same channel and selection share.
//
// A stream has one dense sequence, from 1, within an epoch; its records are gathered and encoded
// once a frame for all its subscribers. It lives while it has a subscriber. Instruments that
// appear later join the streams whose selection they match, before their first record is routed.

import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { type Channel, type ChannelName, channelOf } from './channels.ts'
import { Frame } from './fb-frame.ts'
import type { Router } from './router.ts'
import type { Selection } from './selection.ts'
import type { Subscription } from './subscriber.ts'

export class Stream {
  readonly id: number
  readonly name: ChannelName
  readonly channel: Channel
  readonly selection: Selection
  /** Records gathered for the next frame; the first of them will be nextSeq. */
  readonly frame: Frame
  /** Sequence of the first record of the next frame. */
  nextSeq = 1
  /** Ids, ascending. */
  readonly instruments: number[] = []
  readonly subscriptions: Subscription[] = []
  /** Waits in the router's list to be flushed. */
  isDirty = false
  /** Monotonic time of the last frame. */
  flushedAtMs = 0

  constructor(id: number, name: ChannelName, selection: Selection, frame: Frame) {
    this.id = id
    this.name = name
    this.channel = channelOf(name)
    this.selection = selection
    this.frame = frame
  }
}

export interface StreamRegistryOptions {
  readonly streamsMax: number
  readonly frameTicks: number
  readonly epoch: number
  readonly instruments: InstrumentTable
  /** Routers of the channels that carry events, and values. */
  readonly events: Router
  readonly values: Router
}

export class StreamRegistry {
  readonly #options: StreamRegistryOptions
  readonly #byKey = new Map<string, Stream>()
  #idLast = 0
  #instrumentsSeen = 0

  constructor(options: StreamRegistryOptions) {
    this.#options = options
    this.#instrumentsSeen = options.instruments.count
  }

  [Symbol.iterator](): IterableIterator<Stream> {
    return this.#byKey.values()
  }

  get count(): number {
    return this.#byKey.size
  }

  /** The stream of a channel and selection, made when there is none; undefined at the limit. */
  open(name: ChannelName, selection: Selection): Stream | undefined {
    const key = keyOf(name, selection)
    const existing = this.#byKey.get(key)
    if (existing !== undefined) return existing
    const { streamsMax, frameTicks, epoch, instruments } = this.#options
    if (this.#byKey.size >= streamsMax) return undefined
    const id = ++this.#idLast
    const stream = new Stream(id, name, selection, new Frame(frameTicks, id, epoch))
    if (stream.channel.carries !== 'own') {
      for (const instrument of selection.instruments(instruments)) this.#route(stream, instrument)
    }
    this.#byKey.set(key, stream)
    return stream
  }

  /** Forgets a stream that has no subscriber left. */
  close(stream: Stream): void {
    this.#byKey.delete(keyOf(stream.name, stream.selection))
    const router = this.#router(stream)
    for (const id of stream.instruments) {
      for (const kind of stream.channel.kinds) router.remove(id, kind, stream)
    }
    stream.frame.reset()
  }

  /** Routes instruments that are new since the last call; tells which streams they joined. */
  join(onJoin: (stream: Stream, joined: readonly Instrument[]) => void): void {
    const { instruments } = this.#options
    const { count } = instruments
    if (count === this.#instrumentsSeen) return
    const fresh: Instrument[] = []
    for (let id = this.#instrumentsSeen + 1; id <= count; id++) {
      fresh.push(instruments.get(id) as Instrument)
    }
    this.#instrumentsSeen = count
    for (const stream of this.#byKey.values()) {
      if (stream.channel.carries === 'own') continue
      const last = stream.instruments.at(-1) ?? 0
      const joined = fresh.filter(({ id }) => id > last).filter((i) => stream.selection.matches(i))
      for (const instrument of joined) this.#route(stream, instrument)
      if (joined.length > 0) onJoin(stream, joined)
    }
  }

  #route(stream: Stream, instrument: Instrument): void {
    stream.instruments.push(instrument.id)
    const router = this.#router(stream)
    for (const kind of stream.channel.kinds) router.add(instrument.id, kind, stream)
  }

  #router(stream: Stream): Router {
    return stream.channel.carries === 'value' ? this.#options.values : this.#options.events
  }
}

function keyOf(name: ChannelName, selection: Selection): string {
  return `${name} ${selection.key}`
}
