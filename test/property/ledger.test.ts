// The ledger over a pipeline that moves while it is read: every read of a counter or position lets
// some of the writers take a few of their steps, each the change of one number, in the order in
// which the agents make them. No reading of a pipeline that loses nothing may end as an imbalance;
// a single unit that is lost must, whatever it was, and in few samples.

import t from 'tap'
import { type Finding, Watch } from '../../src/ledger/checks.ts'
import { type LedgerInputs, takeSample } from '../../src/ledger/sample.ts'
import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { Random } from '../../src/source/random.ts'

const SEED = Number(process.env.TICKD_SEED ?? Math.floor(Math.random() * 2 ** 31))
const HEADER_BYTES = 24
const PAUSE_STEPS_MAX = 1000
const STEPS_BETWEEN_MAX = 20_000
const FRAME_SAMPLES_MAX = 1000
t.comment(`TICKD_SEED=${SEED}`)

type Step = () => void
type Thread = 'source' | 'decode' | 'journal' | 'postgres' | 'serve'
const THREADS: readonly Thread[] = ['source', 'decode', 'journal', 'postgres', 'serve']
type Loss = 'frame' | 'message' | 'record' | 'publication' | 'row' | 'delivery' | undefined

/** Numbers that move one at a time. */
class Model {
  readonly inputs: LedgerInputs
  /** Steps that each thread is yet to take of what it is doing. */
  readonly #todo: Record<Thread, Step[]> = {
    source: [],
    decode: [],
    journal: [],
    postgres: [],
    serve: [],
  }
  /** Steps until each thread goes on: most of its time it counts nothing. */
  readonly #pauses: Record<Thread, number> = {
    source: 0,
    decode: 0,
    journal: 0,
    postgres: 0,
    serve: 0,
  }
  readonly #sets = {
    source: new CounterSet(counterNames('source')),
    driven: new CounterSet(counterNames('driven')),
    decode: new CounterSet(counterNames('decode')),
    postgres: new CounterSet(counterNames('postgres')),
    serve: new CounterSet(counterNames('serve')),
  }
  readonly #random: () => number
  /** Chance that a read lets a thread take a step. */
  readonly #pace: number
  /** Sizes of the frames on the ring. */
  #ring: number[] = []
  #fillBytes = 0
  #published = 1000
  #written = 1000
  #durable = 1000
  #stored = 1000
  /** What the next thing that can be lost of this kind is. */
  loss: Loss

  constructor(random: () => number, pace: number) {
    this.#random = random
    this.#pace = pace
    this.#sets.postgres.set('connected', 1)
    const watched = <Name extends string>(set: CounterSet<Name>) => this.#watched(set)
    const read = (value: () => number) => () => {
      this.#move()
      return value()
    }
    this.inputs = {
      sources: [
        {
          name: 'push',
          shard: 0,
          source: watched(this.#sets.source),
          driven: watched(this.#sets.driven),
          decode: watched(this.#sets.decode),
        },
      ],
      shards: [
        {
          shard: 0,
          startSeq: 1000,
          epoch: 1,
          journal: '',
          fillBytes: read(() => this.#fillBytes),
          published: read(() => this.#published),
          written: read(() => this.#written),
          durable: read(() => this.#durable),
          stored: read(() => this.#stored),
          postgres: watched(this.#sets.postgres),
        },
      ],
      serve: [{ role: 'serve', counters: watched(this.#sets.serve) }],
    }
  }

  /** Time passes between two samples. */
  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.#step()
  }

  /** A set whose every read lets the threads go on. */
  #watched<Name extends string>(set: CounterSet<Name>): CounterSet<Name> {
    const values = new Proxy(set.values, {
      get: (target, key) => {
        this.#move()
        return Reflect.get(target, key)
      },
    })
    const get = (name: Name) => {
      this.#move()
      return set.get(name)
    }
    return { names: set.names, values, get } as unknown as CounterSet<Name>
  }

  #move(): void {
    if (this.#random() < this.#pace) this.#step()
  }

  #step(): void {
    const thread = THREADS[this.#below(THREADS.length)] as Thread
    const todo = this.#todo[thread]
    if (this.#pauses[thread]-- > 0) return
    if (todo.length === 0) todo.push(...this.#work(thread))
    todo.shift()?.()
    if (todo.length === 0) this.#pauses[thread] = this.#below(PAUSE_STEPS_MAX)
    else this.#pauses[thread] = 0
  }

  #work(thread: Thread): Step[] {
    switch (thread) {
      case 'source':
        return this.#receive()
      case 'decode':
        return this.#decode()
      case 'journal':
        return [
          () => {
            this.#written = this.#published
          },
          () => {
            this.#durable = this.#written
          },
        ]
      case 'postgres':
        return this.#store()
      case 'serve':
        return this.#serve()
    }
  }

  #lose(what: Loss): boolean {
    if (this.loss !== what) return false
    this.loss = undefined
    return true
  }

  #below(max: number): number {
    return Math.floor(this.#random() * max)
  }

  #receive(): Step[] {
    if (this.#ring.length > 20) return []
    const bytes = 1 + this.#below(200)
    const { source } = this.#sets
    return [
      () => {
        // A frame that is lost was put on the ring, and is not there.
        if (this.#lose('frame')) return
        this.#ring.push(bytes)
        this.#fillBytes += bytes + HEADER_BYTES
      },
      () => source.add('frames'),
      () => source.add('bytes', bytes),
    ]
  }

  #decode(): Step[] {
    const frames = this.#ring.slice(0, 1 + this.#below(5))
    if (frames.length === 0) return []
    const { decode } = this.#sets
    const [accepted, duplicate, quarantined] = [this.#below(9), this.#below(3), this.#below(3)]
    const [ignored, rejected] = [this.#below(3), this.#below(3)]
    const records = accepted + duplicate + quarantined
    const bytes = frames.reduce((sum, size) => sum + size, 0)
    return [
      () => {
        this.#published += accepted - (this.#lose('publication') ? 1 : 0)
      },
      () => decode.add('groups_begun'),
      () => decode.add('frames', frames.length),
      () => decode.add('bytes', bytes),
      () => decode.add('messages', records + ignored + rejected),
      () => decode.add('messages_decoded', records - (this.#lose('message') ? 1 : 0)),
      () => decode.add('records', records + (this.#lose('record') ? 1 : 0)),
      () => decode.add('records_accepted', accepted),
      () => decode.add('records_duplicate', duplicate),
      () => decode.add('records_quarantined', quarantined),
      () => decode.add('ignored_empty', ignored),
      () => decode.add('rejected_overflow', rejected),
      () => decode.add('quarantined_null_price', quarantined),
      () => decode.add('groups'),
      () => {
        this.#ring = this.#ring.slice(frames.length)
        this.#fillBytes -= bytes + frames.length * HEADER_BYTES
      },
    ]
  }

  #store(): Step[] {
    const upTo = this.#durable
    const rows = upTo - this.#stored
    if (rows === 0) return []
    const { postgres } = this.#sets
    return [
      () => {
        this.#stored = upTo
      },
      () => postgres.add('records', rows - (this.#lose('row') ? 1 : 0)),
    ]
  }

  #serve(): Step[] {
    const records = 1 + this.#below(50)
    const { serve } = this.#sets
    return [
      () => serve.add('records_published', records),
      () => serve.add('records_delivered', records - (this.#lose('delivery') ? 1 : 0)),
    ]
  }
}

/** Numbers in [0, 1). */
function uniform(seed: number): () => number {
  const random = new Random(seed)
  return () => (random.next() >>> 0) / 2 ** 32
}

function samples(model: Model, watch: Watch, count: number, random: () => number): Finding[][] {
  return Array.from({ length: count }, () => {
    model.run(Math.floor(random() * STEPS_BETWEEN_MAX))
    return watch.look(takeSample(model.inputs))
  })
}

t.test('nothing that is merely under way is taken for lost', async (t) => {
  const random = uniform(SEED)
  let readings = 0
  for (const pace of [0, 0.0005, 0.002, 0.005]) {
    for (let round = 0; round < 8; round++) {
      const model = new Model(random, pace)
      const found = samples(model, new Watch(model.inputs), 100, random).flat()
      t.same(found, [], `pace ${pace}, round ${round}, TICKD_SEED=${SEED}`)
      readings += 100
    }
  }
  t.comment(`${readings} readings`)
})

t.test('one unit that is lost is found, whatever it was', async (t) => {
  const random = uniform(SEED ^ 0x5eed)
  const expected = {
    frame: 'frames_lost',
    message: 'messages',
    record: 'records',
    publication: 'published',
    row: 'stored',
    delivery: 'delivered',
  } as const
  for (const loss of Object.keys(expected) as (keyof typeof expected)[]) {
    for (const pace of [0, 0.002]) {
      const model = new Model(random, pace)
      const watch = new Watch(model.inputs)
      const before = samples(model, watch, 20, random).flat()
      model.loss = loss
      const after = samples(model, watch, 60, random)
      // A lost frame shows only while the ring is empty, for some samples in a row: in one of 300
      // runs that takes more than 60 of them.
      const isFound = () => after.some((findings) => findings.length > 0)
      while (!isFound() && loss === 'frame' && after.length < FRAME_SAMPLES_MAX) {
        after.push(...samples(model, watch, 1, random))
      }
      t.same(before, [], `${loss}: balanced before`)
      const at = after.findIndex((findings) => findings.length > 0)
      const checks = new Set(after.flat().map(({ check }) => check))
      // Readings before the loss may have counted: what was under way looked like one, too.
      t.ok(at >= 0, `${loss} at pace ${pace}: in sample ${at + 1}, TICKD_SEED=${SEED}`)
      t.same([...checks], [expected[loss]], `${loss}: and nothing else`)
      // Not of the last reading: there it may be taken for under way for a moment.
      const last = after.flat().at(-1)
      // A lost frame shows in full once the ring is found empty; the other amounts are exact.
      if (loss !== 'frame') t.equal(Math.abs(last?.amount ?? 0), 1, `${loss}: exactly one`)
    }
  }
})
