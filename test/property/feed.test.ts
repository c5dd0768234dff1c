// Random subscribers, speeds, policies, cuts, changes of symbols, overruns and crashes over a
// seeded stream: for each subscriber received and declared is what was published, in order, nothing
// twice; after `fill`, nothing is missing that became durable. An image is of exactly where it
// stands.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Random } from '../../src/source/random.ts'
import { KIND } from '../../src/tick/layout.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import { type Leg, ProvingClient } from '../support/proving-client.ts'
import type { TickRow } from '../support/serve-rig.ts'

const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))
const ACTIONS = 50
const WAIT_MS = 20_000
const RING_TICKS = 4096
const FLOOD_COUNT = 40_000
const FLOOD_STEP = 2000
const SETTINGS = { subscriber_buffer_bytes: 64 * 1024, frame_ticks: 128, heartbeat_ms: 100 }

/** What is queued longer makes its subscriber slow; 0 = however long. */
const AGES_MS = [0, 100, 1000]
/** Each is an instrument, by its index. */
const SYMBOLS = ['BTC-USDT', 'ETH-*', 'SOL-USDT']

interface Wish {
  readonly channel: 'trades' | 'quotes'
  readonly symbols: string[]
  readonly slow: 'gap' | 'close' | 'conflate'
  /** It asks for other symbols now and then. */
  readonly isChanging?: boolean
}

const WISHES: readonly Wish[] = [
  { channel: 'trades', symbols: ['*'], slow: 'gap' },
  { channel: 'trades', symbols: ['*'], slow: 'close' },
  { channel: 'trades', symbols: ['BTC-USDT'], slow: 'gap', isChanging: true },
  { channel: 'quotes', symbols: ['ETH-*', 'SOL-USDT'], slow: 'gap' },
  { channel: 'quotes', symbols: ['*'], slow: 'conflate' },
  { channel: 'quotes', symbols: ['SOL-USDT'], slow: 'conflate', isChanging: true },
]

/** Behind which action a client is flooded, and which. */
const FLOODS = new Map([
  [15, 1],
  [30, 4],
  [45, 5],
])

function kindOf({ channel }: Wish): number {
  return channel === 'trades' ? KIND.trade : KIND.quote
}

function isOneOf(symbols: readonly string[], symbol: string): boolean {
  return symbols.includes('*') || symbols.includes(symbol)
}

class World {
  rig: JournalledRig
  readonly random: Random
  readonly clients: { client: ProvingClient; wish: Wish }[] = []
  /** By epoch: all that was published, and how much of it became durable. */
  readonly published = new Map<number, TickRow[]>()
  readonly durable = new Map<number, number>()
  readonly #state: string
  readonly #ageMs: number
  #value = 0

  constructor(state: string, random: Random) {
    this.#state = state
    this.random = random
    this.#ageMs = AGES_MS[random.below(AGES_MS.length)] as number
    this.rig = this.#newRig()
  }

  async start(): Promise<void> {
    await this.rig.start()
    for (const [index, wish] of WISHES.entries()) {
      const { channel, symbols, slow } = wish
      const client = new ProvingClient(`client ${index}`, { channel, symbols, slow })
      await client.connect(this.rig.feed)
      this.clients.push({ client, wish })
    }
  }

  async publish(count: number, kindOf = () => this.#someKind()): Promise<void> {
    for (let done = 0; done < count; ) {
      const size = Math.min(count - done, 1 + this.random.below(200))
      const rows = Array.from({ length: size }, () => ({
        instrument: this.rig.ids[this.random.below(3)] as number,
        kind: kindOf(),
        value: ++this.#value,
      }))
      await this.until(() => this.rig.publish(rows), 'room on the ring')
      this.published.get(this.rig.epoch)?.push(...rows)
      done += size
    }
  }

  async act(): Promise<void> {
    const { client, wish } = this.clients[this.random.below(this.clients.length)] as {
      client: ProvingClient
      wish: Wish
    }
    const action = this.random.below(13)
    if (action === 0) client.pause()
    else if (action <= 2) client.resume()
    else if (action === 3) client.cut()
    else if (action === 4 && !client.isConnected) await client.connect(this.rig.feed)
    else if (action === 5) await this.lap()
    else if (action === 6 && this.random.below(2) === 0) await this.crash()
    else if (action === 7) client.fill()
    else if (action <= 9 && wish.isChanging) client.update(this.#someSymbols())
    else await this.publish(this.random.below(4000))
    for (const each of this.clients) each.client.take()
  }

  /** More than the buffers of the kernel and the feed take, for one who does not read. */
  async flood(index: number): Promise<void> {
    const { client, wish } = this.clients[index] as World['clients'][number]
    // A connection that has had much has large buffers in the kernel.
    client.cut()
    await client.connect(this.rig.feed)
    for (const each of this.clients) each.client.resume()
    const isLive = () => {
      client.take()
      return client.isLive
    }
    await this.until(isLive, `${client.name} to be live`)
    client.pause()
    const { counters } = this.rig.serve
    const slowCount = () => counters.get('records_skipped') + counters.get('slow_closed')
    const before = slowCount()
    for (let count = 0; count < FLOOD_COUNT && slowCount() === before; count += FLOOD_STEP) {
      await this.publish(FLOOD_STEP, () => kindOf(wish))
      await this.rig.settled()
      await new Promise((resolve) => setImmediate(resolve))
      await this.until(() => this.rig.serve.agent.doWork() === 0, 'the feed')
    }
    if (this.random.below(3) === 0) return
    client.resume()
    const isOver = () => {
      client.take()
      return !client.isConnected || client.next === this.endOf(client, wish)
    }
    await this.until(isOver, `${client.name} to be told`)
  }

  /** The feed stands still until the ring has gone round. */
  async lap(): Promise<void> {
    this.rig.serve.isPaused = true
    await this.publish(RING_TICKS + this.random.below(RING_TICKS))
    await this.rig.settled()
    this.rig.serve.isPaused = false
  }

  /** What is published last is sent to subscribers, and lost. */
  async crash(): Promise<void> {
    await this.rig.settled()
    this.rig.isDiskPaused = true
    await this.publish(this.random.below(500))
    await this.until(() => this.rig.serve.agent.doWork() === 0, 'the feed')
    const { epoch, firstSeq } = this.rig
    await this.rig.kill()
    for (const { client } of this.clients) client.cut()
    this.rig = this.#newRig()
    this.durable.set(epoch, this.rig.firstSeq - firstSeq)
    await this.rig.start()
    for (const { client } of this.clients) await client.connect(this.rig.feed)
  }

  async until(test: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + WAIT_MS
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Records of an epoch that the channel and symbols are for: the first has sequence 1. */
  rowsOf(epoch: number, wish: Wish, symbols: readonly string[]): TickRow[] {
    const kind = kindOf(wish)
    const ids = new Set(this.rig.ids.filter((_, i) => isOneOf(symbols, SYMBOLS[i] as string)))
    const rows = this.published.get(epoch) ?? []
    return rows.filter((row) => row.kind === kind && ids.has(row.instrument))
  }

  /** How many of those became durable. */
  durableCount(epoch: number, wish: Wish, symbols: readonly string[]): number {
    const rows = this.published.get(epoch) ?? []
    const lost = new Set(rows.slice(this.durable.get(epoch) ?? rows.length))
    return this.rowsOf(epoch, wish, symbols).filter((row) => !lost.has(row)).length
  }

  /** The sequence behind all that has been published of its stream. */
  endOf(client: ProvingClient, wish: Wish): number {
    return this.rowsOf(this.rig.epoch, wish, (client.legs.at(-1) as Leg).symbols).length + 1
  }

  #someKind(): number {
    return this.random.below(3) === 0 ? KIND.quote : KIND.trade
  }

  #someSymbols(): string[] {
    const some = SYMBOLS.filter(() => this.random.below(2) === 0)
    return some.length > 0 ? some : SYMBOLS
  }

  #newRig(): JournalledRig {
    const settings = { ...SETTINGS, subscriber_age_ms: this.#ageMs }
    const rig = new JournalledRig(this.#state, { settings, ringTicks: RING_TICKS })
    this.published.set(rig.epoch, [])
    return rig
  }
}

async function settle(world: World): Promise<void> {
  await world.rig.settled()
  for (const { client, wish } of world.clients) {
    client.resume()
    const { epoch } = world.rig
    let end = { legs: -1, seq: 0 }
    const isThere = () => {
      client.take()
      const legs = client.former.length
      if (legs !== end.legs) end = { legs, seq: world.endOf(client, wish) }
      return client.epoch === epoch && client.next === end.seq
    }
    while (!isThere()) {
      // One that is closed for having been slow comes again.
      if (!client.isConnected) await client.connect(world.rig.feed)
      const isOver = () => isThere() || !client.isConnected
      await world.until(isOver, `${client.name} to have all`)
    }
    const isFull = () => {
      client.take()
      client.fill()
      return client.gaps.length === 0
    }
    while (!isFull()) {
      // What fills a gap may be too old for it, too, on a busy machine.
      if (!client.isConnected) await client.connect(world.rig.feed)
      const isOver = () => isFull() || !client.isConnected
      await world.until(isOver, `${client.name} to have filled its gaps`)
    }
  }
}

function check(t: Test, world: World): void {
  for (const { client, wish } of world.clients) {
    for (const leg of client.legs) {
      const name = `${client.name}, ${leg.symbols}`
      for (const epoch of world.published.keys()) {
        const wrong = faultOf(world, wish, leg, epoch)
        if (wrong !== undefined) t.fail(`${name}: epoch ${epoch}: ${wrong}`)
      }
      for (const image of leg.images) {
        const id = world.rig.ids[SYMBOLS.indexOf(patternOf(image.symbol))]
        const rows = world.rowsOf(image.epoch, wish, leg.symbols).slice(0, image.seq - 1)
        const newest = rows.findLast(({ instrument }) => instrument === id)
        if (String(newest?.value) !== image.value) t.fail(`${name}: ${JSON.stringify(image)}`)
      }
    }
    t.same(client.gaps, [], `${client.name} has all that is durable`)
  }
}

function patternOf(symbol: string): string {
  return symbol === 'ETH-USDT' ? 'ETH-*' : symbol
}

/** What is wrong with what it had of an epoch; undefined = nothing. */
function faultOf(world: World, wish: Wish, leg: Leg, epoch: number): string | undefined {
  const { start, end, symbols } = leg
  if (start === undefined || epoch < start.epoch) return undefined
  const rows = world.rowsOf(epoch, wish, symbols)
  const count = world.durableCount(epoch, wish, symbols)
  const from = epoch === start.epoch ? start.seq : 1
  const isWhole = end === undefined || epoch < end.epoch
  const to = isWhole ? count : epoch === end.epoch ? end.seq - 1 : 0
  const received = new Map(leg.received.get(epoch))
  for (let seq = from; seq <= to; seq++) {
    const value = received.get(seq)
    const declared = leg.gaps.filter((gap) => {
      return gap.epoch === epoch && gap.from <= seq && seq <= gap.to
    })
    if (declared.length + (value === undefined ? 0 : 1) !== 1) {
      return `${seq} came as ${value}, and was declared ${declared.length} times`
    }
    if (value !== undefined && value !== String(rows[seq - 1]?.value)) return `${seq} is ${value}`
    received.delete(seq)
  }
  return received.size === 0 ? undefined : `${[...received.keys()]} of ${from} to ${to}`
}

t.test(`received and declared is what was published (TICKD_SEED=${seed})`, async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'tickd-feed-'))
  const world = new World(state, new Random(seed))
  t.teardown(async () => {
    for (const { client } of world.clients) client.cut()
    await world.rig.kill()
    rmSync(state, { recursive: true, force: true })
  })
  await world.start()
  for (let action = 1; action <= ACTIONS; action++) {
    await world.act()
    const flooded = FLOODS.get(action)
    if (flooded !== undefined) await world.flood(flooded)
  }
  await settle(world)
  check(t, world)
  const sum = (of: (client: ProvingClient) => number) =>
    world.clients.reduce((total, { client }) => total + of(client), 0)
  const gaps = sum(({ gapCount }) => gapCount)
  const fills = sum(({ fillCount }) => fillCount)
  const updates = sum(({ former }) => former.length)
  const images = sum(({ legs }) => legs.reduce((total, leg) => total + leg.images.length, 0))
  const closed = sum(({ closedCount }) => closedCount)
  t.comment(`${world.published.size} epochs, ${gaps} gaps, ${fills} fills, ${updates} updates`)
  t.comment(`${images} records of images, ${closed} times closed for being slow`)
})
