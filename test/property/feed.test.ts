// Random subscribers, speeds, cuts, overruns and crashes over a seeded stream: for each subscriber
// received and declared is what was published, in order, nothing twice; after `fill`, nothing is
// missing that became durable.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Random } from '../../src/source/random.ts'
import { KIND } from '../../src/tick/layout.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import { ProvingClient } from '../support/proving-client.ts'
import type { TickRow } from '../support/serve-rig.ts'

const seed = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))
const ACTIONS = 40
const WAIT_MS = 20_000
const RING_TICKS = 4096
const SETTINGS = { subscriber_buffer_bytes: 64 * 1024, frame_ticks: 128, heartbeat_ms: 100 }

interface Wish {
  readonly symbols: string[]
  readonly kind: number
  readonly ids: readonly number[]
}

class World {
  rig: JournalledRig
  readonly random: Random
  readonly clients: { client: ProvingClient; wish: Wish }[] = []
  /** By epoch: all that was published, and how much of it became durable. */
  readonly published = new Map<number, TickRow[]>()
  readonly durable = new Map<number, number>()
  readonly #state: string
  #value = 0

  constructor(state: string, random: Random) {
    this.#state = state
    this.random = random
    this.rig = this.#newRig()
  }

  async start(): Promise<void> {
    await this.rig.start()
    const [btc = 0, eth = 0, sol = 0] = this.rig.ids
    const wishes: Wish[] = [
      { symbols: ['*'], kind: KIND.trade, ids: [btc, eth, sol] },
      { symbols: ['BTC-USDT'], kind: KIND.trade, ids: [btc] },
      { symbols: ['ETH-*', 'SOL-USDT'], kind: KIND.quote, ids: [eth, sol] },
      { symbols: ['*'], kind: KIND.quote, ids: [btc, eth, sol] },
    ]
    for (const [index, wish] of wishes.entries()) {
      const channel = wish.kind === KIND.trade ? 'trades' : 'quotes'
      const subscribe = { channel, symbols: wish.symbols, slow: 'gap' }
      const client = new ProvingClient(`client ${index}`, subscribe)
      await client.connect(this.rig.feed)
      this.clients.push({ client, wish })
    }
  }

  async publish(count: number): Promise<void> {
    for (let done = 0; done < count; ) {
      const size = Math.min(count - done, 1 + this.random.below(200))
      const rows = Array.from({ length: size }, () => ({
        instrument: this.rig.ids[this.random.below(3)] as number,
        kind: this.random.below(3) === 0 ? KIND.quote : KIND.trade,
        value: ++this.#value,
      }))
      await this.until(() => this.rig.publish(rows), 'room on the ring')
      this.published.get(this.rig.epoch)?.push(...rows)
      done += size
    }
  }

  async act(): Promise<void> {
    const { client } = this.clients[this.random.below(this.clients.length)] as {
      client: ProvingClient
    }
    const action = this.random.below(12)
    if (action === 0) client.pause()
    else if (action <= 2) client.resume()
    else if (action === 3) client.cut()
    else if (action === 4 && !client.isConnected) await client.connect(this.rig.feed)
    else if (action === 5) await this.lap()
    else if (action === 6 && this.random.below(2) === 0) await this.crash()
    else if (action === 7) client.fill()
    else await this.publish(this.random.below(4000))
    for (const each of this.clients) each.client.take()
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

  /** Values of the durable records of an epoch that a wish is for: the first has sequence 1. */
  wanted(epoch: number, { kind, ids }: Wish): string[] {
    const rows = this.published.get(epoch) ?? []
    return rows
      .slice(0, this.durable.get(epoch) ?? rows.length)
      .filter((row) => row.kind === kind && ids.includes(row.instrument))
      .map(({ value }) => String(value))
  }

  #newRig(): JournalledRig {
    const rig = new JournalledRig(this.#state, { settings: SETTINGS, ringTicks: RING_TICKS })
    this.published.set(rig.epoch, [])
    return rig
  }
}

async function settle(world: World): Promise<void> {
  await world.rig.settled()
  for (const { client, wish } of world.clients) {
    client.resume()
    if (!client.isConnected) await client.connect(world.rig.feed)
    const end = world.wanted(world.rig.epoch, wish).length + 1
    const isThere = () => {
      client.take()
      return client.epoch === world.rig.epoch && client.next === end
    }
    await world.until(isThere, `${client.name} to have all up to ${end}`)
    const isFull = () => {
      client.take()
      client.fill()
      return client.gaps.length === 0
    }
    await world.until(isFull, `${client.name} to have filled its gaps`)
  }
}

function check(t: Test, world: World): void {
  for (const { client, wish } of world.clients) {
    const { start } = client
    for (const epoch of world.published.keys()) {
      if (start === undefined || epoch < start.epoch) continue
      const from = epoch === start.epoch ? start.seq : 1
      const expected = world.wanted(epoch, wish).slice(from - 1)
      const received = client.received.get(epoch) ?? new Map<number, string>()
      const wrong = expected.findIndex((value, i) => received.get(from + i) !== value)
      t.equal(wrong, -1, `${client.name}: epoch ${epoch} is complete`)
      t.equal(received.size, expected.length, 'and has nothing else')
    }
  }
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
  for (let action = 0; action < ACTIONS; action++) await world.act()
  await settle(world)
  check(t, world)
  const sum = (of: (client: ProvingClient) => number) =>
    world.clients.reduce((total, { client }) => total + of(client), 0)
  const gaps = sum(({ gapCount }) => gapCount)
  const fills = sum(({ fillCount }) => fillCount)
  t.comment(`${world.published.size} epochs, ${gaps} gaps, ${fills} fills`)
})
