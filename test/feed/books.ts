// Books, as far as the daemon at hand has any that change: built from what comes, as the page says.

import { deepEqual, equal, ok } from 'node:assert/strict'
import type { FeedClient } from '../support/feed-client.ts'
import { control, type FeedCase, Skip, type Target } from './target.ts'

const WAIT_MS = 5000
const DEPTH = 3

interface Change {
  venue: string
  symbol: string
  side: 'buy' | 'sell' | 'none'
  price: string | null
  size: string | null
  action: 'set' | 'delete' | 'clear'
  flags: string[]
}

/** A book by the rules of the page, and nothing else. */
class PageBook {
  isWhole = false
  #isImage = false
  readonly #sides = { buy: new Map<string, string>(), sell: new Map<string, string>() }

  /** True behind an event, where the book may be looked at. */
  apply({ side, price, size, action, flags }: Change): boolean {
    if (action === 'clear') {
      if (side !== 'sell') this.#sides.buy.clear()
      if (side !== 'buy') this.#sides.sell.clear()
      if (side === 'none') {
        this.isWhole = false
        this.#isImage = true
      }
    } else if (side !== 'none') {
      if (action === 'set') this.#sides[side].set(price as string, size as string)
      else this.#sides[side].delete(price as string)
    }
    const isLast = flags.includes('last')
    if (isLast && this.#isImage) {
      this.#isImage = false
      this.isWhole = true
    }
    return isLast && this.isWhole
  }

  /** [price, size], the best first. */
  levels(side: 'buy' | 'sell', depth = Number.POSITIVE_INFINITY): [string, string][] {
    const sign = side === 'buy' ? -1 : 1
    const all = [...this.#sides[side]].sort(([a], [b]) => sign * (Number(a) - Number(b)))
    return all.slice(0, depth)
  }

  text(depth?: number): string {
    return JSON.stringify([this.levels('buy', depth), this.levels('sell', depth)])
  }

  get isCrossed(): boolean {
    const [bid] = this.levels('buy', 1)
    const [ask] = this.levels('sell', 1)
    return bid !== undefined && ask !== undefined && Number(bid[0]) >= Number(ask[0])
  }
}

interface Seen {
  /** `at`: sequence of the next record of the stream; texts of the whole books by name. */
  readonly at: number
  readonly name: string
  readonly book: string
}

/** What a subscriber that follows the page knows, event by event. */
class Follower {
  readonly client: FeedClient
  readonly stream: number
  readonly seen: Seen[] = []
  readonly #books = new Map<string, PageBook>()
  #taken = 0

  constructor(client: FeedClient, stream: number) {
    this.client = client
    this.stream = stream
  }

  static async open(target: Target, channel: string): Promise<Follower> {
    const client = await target.open('tickd.v1.json')
    const stream = await client.subscribe({ channel, from: 'snapshot' })
    return new Follower(client, stream)
  }

  take(): this {
    for (; this.#taken < this.client.all.length; this.#taken++) {
      const message = this.client.all[this.#taken]
      if (message !== undefined && 'op' in message) {
        ok(message.op !== 'gap' || message.cause === 'upstream', 'the suite reads fast enough')
        if (message.op === 'book') this.#break(message.instruments as Change[])
        continue
      }
      for (const [i, record] of (message?.records ?? []).entries()) {
        this.#apply(record as unknown as Change, (message?.firstSeq ?? 0) + i + 1)
      }
    }
    return this
  }

  #break(instruments: readonly Pick<Change, 'venue' | 'symbol'>[]): void {
    for (const { venue, symbol } of instruments) this.#books.delete(`${venue}:${symbol}`)
  }

  #apply(change: Change, at: number): void {
    const name = `${change.venue}:${change.symbol}`
    const book = this.#books.get(name) ?? new PageBook()
    this.#books.set(name, book)
    if (!book.apply(change)) return
    ok(!book.isCrossed, `${name} is crossed, and nobody said so`)
    const isImage = change.flags.includes('snapshot')
    this.seen.push({ at: isImage ? Number.NaN : at, name, book: book.text() })
  }
}

/** Followers of a channel that is alive; a Skip where no book changes. */
async function alive(target: Target, channel: string): Promise<Follower> {
  const follower = await Follower.open(target, channel)
  const deadline = performance.now() + WAIT_MS
  await follower.client.until(() => {
    return performance.now() > deadline || follower.take().seen.length >= 5
  }, 'books')
  if (follower.seen.length < 5) throw new Skip('no books change in this daemon now')
  return follower
}

export const BOOKS: readonly FeedCase[] = [
  {
    section: 'Books',
    must: ['a client MUST NOT take its levels', 'a client MUST look at a book only behind'],
    name: 'image and changes make the book that everybody else has, and it is not crossed',
    run: async (target) => {
      const early = await alive(target, 'book')
      const late = await Follower.open(target, 'book')
      const image = await control(late.client, ({ op }) => op === 'snapshot')
      // Images are of the moment that each was asked for: only changes are the same for both.
      const changed = ({ seen }: Follower) => seen.filter(({ at }) => !Number.isNaN(at))
      const known = () => {
        return new Map(changed(early.take()).map(({ at, name, book }) => [`${at} ${name}`, book]))
      }
      const shared = () => {
        const books = known()
        return changed(late.take()).filter(({ at, name }) => books.has(`${at} ${name}`))
      }
      await late.client.until(() => shared().length >= 5, 'changes that both have seen')
      const [first] = late.client.frames
      if ((image.count as number) > 0) {
        equal(first?.firstSeq, image.next_seq)
        equal(first?.records[0]?.action, 'clear')
      }
      const books = known()
      for (const { at, name, book } of shared()) equal(book, books.get(`${at} ${name}`), `${at}`)
    },
  },
  {
    section: 'Books',
    name: 'the best levels are whole books of at most so many, as the book itself has had them',
    run: async (target) => {
      const all = await alive(target, 'book')
      const top = await Follower.open(target, `book.${DEPTH}`)
      const cut = (book: string) => {
        const [bids, asks] = JSON.parse(book) as [unknown[], unknown[]]
        return JSON.stringify([bids.slice(0, DEPTH), asks.slice(0, DEPTH)])
      }
      const matched = () => {
        const had = new Set(all.take().seen.map(({ name, book }) => `${name} ${cut(book)}`))
        return top.take().seen.filter(({ name, book }) => had.has(`${name} ${book}`)).length
      }
      await top.client.until(() => matched() >= 3, 'best levels that the book has had')
      for (const { records } of top.client.frames) {
        for (const { flags, type } of records) {
          equal(type, 'book')
          ok((flags as string[]).includes('snapshot'))
        }
      }
      for (const { book } of top.seen) equal(cut(book), book, 'no more levels than asked for')
      deepEqual(
        top.seen.map(({ at }) => at),
        top.seen.map(() => Number.NaN),
      )
    },
  },
]
