import t from 'tap'
import { TickdError } from '../../../../src/errors.ts'
import { DeepCursor } from '../../../../src/serve/feed/deep-cursor.ts'
import type {
  EpochStart,
  FeedJournal,
  FeedStore,
  StoreCursor,
} from '../../../../src/serve/feed/feed-journal.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import { TICK_WORDS, WORD } from '../../../../src/tick/layout.ts'

const SEED = Number(process.env.TICKD_SEED ?? Date.now() % 1e6)
const EPOCHS: EpochStart[] = [
  { epoch: 1, seq: 0, isFirst: true },
  { epoch: 2, seq: 300, isFirst: true },
  { epoch: 3, seq: 300, isFirst: true },
  { epoch: 4, seq: 777, isFirst: true },
]
const epochAt = (seq: number) => EPOCHS.findLast((start) => start.seq <= seq)?.epoch ?? 0

/** Records whose first word says their sequence. */
function put(out: TickBatch, fromSeq: number, count: number): number {
  out.count = count
  for (let i = 0; i < count; i++) out.words[i * TICK_WORDS + WORD.p0] = fromSeq + i
  return count
}

/** A journal of [oldest, durable), a store of [0, oldest + 50), both as slow as `random` says. */
class World {
  oldest = 500
  durable = 1000
  openCount = 0
  isFull = false
  fault: 'reading' | 'gone' | 'away' = 'reading'
  readonly random: (n: number) => number
  readonly journal: FeedJournal

  constructor(random: (n: number) => number) {
    this.random = random
    this.journal = {
      shard: 0,
      epoch: 4,
      firstSeq: 777,
      originSeq: 0,
      id: 'a',
      oldest: () => this.oldest,
      durable: () => this.durable,
      epochStarts: () => EPOCHS,
      open: (fromSeq) => this.#journalCursor(fromSeq),
    }
  }

  #journalCursor(fromSeq: number) {
    const world = this
    this.openCount++
    return {
      seq: fromSeq,
      epoch: 0,
      read(out: TickBatch): number {
        // It may forget them between two looks.
        if (world.random(20) === 0) world.oldest = Math.min(world.durable, this.seq + 30)
        if (this.seq < world.oldest) throw new TickdError('JOURNAL_CORRUPT', 'it is gone')
        const next = EPOCHS.find(({ seq }) => seq > this.seq)?.seq ?? world.durable
        const count = Math.min(1 + world.random(40), out.capacity, next - this.seq)
        this.epoch = epochAt(this.seq)
        put(out, this.seq, count)
        this.seq += count
        return count
      },
      close: () => void world.openCount--,
    }
  }

  get store(): FeedStore {
    const world = this
    return {
      get isFull() {
        return world.isFull
      },
      open: (fromSeq, _recvMs, toSeq) => (world.isFull ? undefined : world.#stored(fromSeq, toSeq)),
    }
  }

  #stored(fromSeq: number, limit: () => number): StoreCursor {
    const world = this
    this.openCount++
    return {
      seq: fromSeq,
      get state() {
        return world.fault
      },
      text: 'why',
      read(out, toSeq): number {
        const end = Math.min(toSeq, limit() + 50, this.seq + 1 + world.random(60))
        const isThere = world.fault === 'reading' && world.random(3) > 0
        const count = isThere ? Math.min(out.capacity, end - this.seq) : 0
        put(out, this.seq, count)
        ;(this as { seq: number }).seq += count
        return count
      },
      close: () => void world.openCount--,
    }
  }
}

function randomOf(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % n
  }
}

function cursorOn(world: World, fromSeq = 0): DeepCursor {
  const { journal, store } = world
  return new DeepCursor({ journal, store, epochs: EPOCHS, fromSeq, recvMs: 0, onSkip: () => {} })
}

t.test(`from the store to the journal and back, none twice, none missing (seed ${SEED})`, (t) => {
  const batch = new TickBatch(32)
  for (let round = 0; round < 300; round++) {
    const random = randomOf(SEED + round)
    const world = new World(random)
    const cursor = cursorOn(world, random(400))
    let next = cursor.seq
    let fault = ''
    while (next < world.durable) {
      // The journal forgets, now and then more than was read.
      if (random(40) === 0) cursor.close()
      if (random(4) === 0) world.oldest = Math.min(world.durable, world.oldest + random(150))
      const count = cursor.read(batch)
      if (count === 0) {
        if (!cursor.isWaiting && next < world.durable) fault ||= `nothing at ${next}`
        continue
      }
      for (let i = 0; i < count; i++) {
        if (batch.words[i * TICK_WORDS + WORD.p0] !== next + i) fault ||= `wrong at ${next + i}`
      }
      if (cursor.epoch !== epochAt(next)) fault ||= `epoch ${cursor.epoch} at ${next}`
      if (epochAt(next) !== epochAt(next + count - 1)) fault ||= `two epochs at ${next}`
      next += count
      if (cursor.seq !== next) fault ||= `it says ${cursor.seq} at ${next}`
      if (world.openCount !== 1) fault ||= `${world.openCount} are open`
    }
    cursor.close()
    if (world.openCount !== 0) fault ||= 'something was left open'
    if (fault !== '') t.fail(`round ${round}: ${fault}`)
  }
  t.pass('300 rounds')
  t.end()
})

t.test('it waits while the store is full, and is told when it has nothing', (t) => {
  const world = new World(() => 1)
  const batch = new TickBatch(32)
  world.isFull = true
  const cursor = cursorOn(world)
  t.equal(cursor.read(batch), 0)
  t.ok(cursor.isWaiting)
  world.isFull = false
  t.equal(cursor.read(batch), 2)
  world.fault = 'away'
  t.equal(cursor.read(batch), 0)
  t.same(cursor.fault, { name: 'store_unavailable', text: 'why' })
  world.fault = 'gone'
  const other = cursorOn(world)
  other.read(batch)
  t.same(other.fault, { name: 'replay_aged_out', text: 'why' })
  cursor.close()
  other.close()
  t.equal(world.openCount, 0)
  t.end()
})
