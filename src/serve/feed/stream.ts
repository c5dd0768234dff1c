// Streams: what subscribers with the same channel and selection share.
//
// A stream has one dense sequence, from 1, within an epoch; its records are gathered and encoded
// once a frame for all its subscribers. It lives while it has a subscriber; its sequence, where it
// carries events, does without: it is the sum of what was counted of its instruments (tally.ts).
// Instruments that appear later join the streams whose selection they match, before their first
// record is routed.

import type { Instrument, InstrumentTable } from '../../tick/instruments.ts'
import { KIND } from '../../tick/layout.ts'
import { type Channel, type ChannelName, channelOf } from './channels.ts'
import { Frame } from './fb-frame.ts'
import type { Router } from './router.ts'
import type { Selection } from './selection.ts'
import type { Subscription } from './subscriber.ts'
import { sumOf, type Tally } from './tally.ts'
import { ToldGaps } from './upstream.ts'

export interface StreamKey {
  readonly name: ChannelName
  readonly selection: Selection
  readonly shard: number | undefined
}

export class Stream {
  readonly id: number
  readonly name: ChannelName
  readonly channel: Channel
  readonly selection: Selection
  /** The one shard that it carries; undefined = all. */
  readonly shard: number | undefined
  readonly epoch: number
  /** Records gathered for the next frame; the first of them will be nextSeq. */
  readonly frame: Frame
  /** Sequence of the first record of the next frame. */
  nextSeq = 1
  /** Ids, ascending. */
  readonly instruments: number[] = []
  readonly subscriptions: Subscription[] = []
  /** Waits in the router's list to be flushed. */
  isDirty = false
  readonly told = new ToldGaps()
  /** Monotonic time of the last frame. */
  flushedAtMs = 0

  constructor(
    id: number,
    { name, selection, shard }: StreamKey,
    epoch: number,
    frameTicks: number,
  ) {
    this.id = id
    this.name = name
    this.channel = channelOf(name)
    this.selection = selection
    this.shard = shard
    this.epoch = epoch
    this.frame = new Frame(frameTicks, id, epoch)
  }
}

export interface StreamRegistryOptions {
  readonly streamsMax: number
  readonly frameTicks: number
  readonly instruments: InstrumentTable
  /** Of the channels that carry events, by shard. */
  readonly shards: readonly StreamShard[]
  /** Router of the channels that carry values. */
  readonly values: Router
}

/** What a registry needs of a shard. */
export interface StreamShard {
  readonly epoch: number
  readonly router: Router
  readonly tally: Tally
}

export class StreamRegistry {
  /** Those that carry neither events nor values, but what the feed makes for them. */
  readonly own = new Set<Stream>()
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

  /** The stream of that key, made when there is none; undefined at the limit. */
  open(key: StreamKey): Stream | undefined {
    const text = textOf(key)
    const existing = this.#byKey.get(text)
    if (existing !== undefined) return existing
    const { streamsMax, frameTicks, instruments, shards } = this.#options
    if (this.#byKey.size >= streamsMax) return undefined
    const id = ++this.#idLast
    const epoch = shards[key.shard ?? 0]?.epoch ?? 0
    const stream = new Stream(id, key, epoch, frameTicks)
    if (stream.channel.carries !== 'own') {
      for (const member of key.selection.instruments(instruments)) this.#route(stream, member)
    }
    if (stream.channel.carries === 'event') stream.nextSeq = this.seqOf(stream)
    if (stream.channel.carries === 'own') this.own.add(stream)
    this.#byKey.set(text, stream)
    return stream
  }

  /** Sequence of the next record of a stream that carries events, by what was counted. */
  seqOf({ instruments, channel, shard }: Stream): number {
    const { shards } = this.#options
    const own = shard === undefined ? shards : shards.slice(shard, shard + 1)
    return own.reduce((sum, { tally }) => sum + sumOf(tally.counts, instruments, channel.kinds), 1)
  }

  /** Forgets a stream that has no subscriber left. */
  close(stream: Stream): void {
    this.#byKey.delete(textOf(stream))
    this.own.delete(stream)
    for (const router of this.#routers(stream)) {
      for (const id of stream.instruments) {
        for (const kind of kindsOf(stream)) router.remove(id, kind, stream)
      }
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
    for (const router of this.#routers(stream)) {
      for (const kind of kindsOf(stream)) router.add(instrument.id, kind, stream)
    }
  }

  #routers({ channel, shard }: Stream): Router[] {
    const { shards, values } = this.#options
    if (channel.carries === 'value') return [values]
    return shards.filter((_, index) => index === (shard ?? index)).map(({ router }) => router)
  }
}

/** What is routed to it: where it carries events, what is said of them too. */
function kindsOf({ channel }: Stream): readonly number[] {
  return channel.carries === 'event' ? [...channel.kinds, KIND.status] : channel.kinds
}

function textOf({ name, selection, shard }: StreamKey): string {
  return `${name} ${shard ?? 'all'} ${selection.key}`
}
