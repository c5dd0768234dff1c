// The subscribers of the fan-out bench, all in one process, which only counts.
//
// Messages: {url, controlPort, subscribers, isBare} connects, and is answered 'connected' for the
// server of that name; {name, ticks} waits until every subscriber has got so many more.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { FeedReader, type FeedTally } from './feed-reader.ts'

const PROGRESS_BYTES = 6
const PROGRESS_EVERY_TICKS = 4096

export interface ConnectOrder {
  readonly op: 'connect'
  readonly name: string
  readonly url: string
  readonly controlPort: number
  readonly subscribers: number
  readonly isBare: boolean
}

export interface CountOrder {
  readonly op: 'count'
  readonly name: string
  /** For each subscriber, in this round. */
  readonly ticks: number
}

export interface CountAnswer extends FeedTally {
  readonly endedNs: number
}

class Group {
  readonly readers: FeedReader[] = []
  readonly #control: Socket
  #told = 0
  #end = 0
  #onEnd: (() => void) | undefined

  constructor(control: Socket) {
    this.#control = control
  }

  open({ url, subscribers, isBare }: ConnectOrder): Promise<void> {
    return new Promise((resolve) => {
      let ready = 0
      for (let i = 0; i < subscribers; i++) {
        const onReady = () => {
          if (++ready === subscribers) resolve()
        }
        const onProgress = (reader: FeedReader) => {
          const { settled } = reader
          const isNews = settled >= this.#told + PROGRESS_EVERY_TICKS || settled === this.#end
          if (isNews) this.#tell()
        }
        this.readers.push(new FeedReader({ url, isBare, onReady, onProgress }))
      }
    })
  }

  /** Resolves when each subscriber has `ticks` more than at the end of the round before. */
  count(ticks: number): Promise<void> {
    this.#end += ticks
    return new Promise((resolve) => {
      this.#onEnd = resolve
    })
  }

  /** How far the slowest is, to the server, when that is worth a word. */
  #tell(): void {
    let slowest = Number.POSITIVE_INFINITY
    for (const reader of this.readers) slowest = Math.min(slowest, reader.settled)
    const isEnd = slowest === this.#end
    if (slowest < this.#told + PROGRESS_EVERY_TICKS && !isEnd) return
    this.#told = slowest
    const bytes = Buffer.alloc(PROGRESS_BYTES)
    bytes.writeUIntLE(slowest, 0, PROGRESS_BYTES)
    this.#control.write(bytes)
    if (isEnd) this.#onEnd?.()
  }
}

const groups = new Map<string, Group>()
process.on('message', async (order: ConnectOrder | CountOrder) => {
  if (order.op === 'connect') {
    const control = connect(order.controlPort, '127.0.0.1')
    await once(control, 'connect')
    control.setNoDelay(true)
    const group = new Group(control)
    groups.set(order.name, group)
    await group.open(order)
    process.send?.('connected')
    return
  }
  const group = groups.get(order.name) as Group
  const before = total(group)
  await group.count(order.ticks)
  const endedNs = Number(process.hrtime.bigint())
  const after = total(group)
  const since = (field: keyof FeedTally) => after[field] - before[field]
  process.send?.({
    endedNs,
    records: since('records'),
    frames: since('frames'),
    bytes: since('bytes'),
    declared: since('declared'),
    holes: since('holes'),
  } satisfies CountAnswer)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

function total(group: Group): FeedTally {
  const sum = { records: 0, frames: 0, bytes: 0, declared: 0, holes: 0 }
  for (const { tally } of group.readers) {
    sum.records += tally.records
    sum.frames += tally.frames
    sum.bytes += tally.bytes
    sum.declared += tally.declared
    sum.holes += tally.holes
  }
  return sum
}
