// Dead letters under random letters, torn and damaged files, and replays that end at any moment.
//
// A replay's way of ticks is here an array that a crash cuts anywhere: what was sent becomes
// durable up to a random record, and nothing more is heard. Whatever happens, at the end each
// record is in it once. TICKD_SEED repeats a run.

import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { REJECT_REASONS } from '../../src/ledger/reasons.ts'
import { MIB } from '../../src/limits.ts'
import { Random } from '../../src/source/random.ts'
import { TICK_BYTES } from '../../src/tick/layout.ts'
import { letterFileName } from '../../src/validate/dead-letter-format.ts'
import type { Try } from '../../src/validate/dead-letter-log.ts'
import type { DeadLetter } from '../../src/validate/dead-letter-reader.ts'
import {
  type LetterLanes,
  LetterReplay,
  type Parcel,
  type Reading,
  type ReplayResult,
  type Taken,
} from '../../src/validate/dead-letter-replay.ts'
import { LETTER_SOURCES, LetterRig, metaOf, tickOf } from '../support/letters.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() & 0x7fffffff)
t.comment(`seed ${seed}`)

class Crash extends Error {}

/** The journal of one shard, and what is on its way there. */
class Way implements LetterLanes {
  readonly journal: Uint8Array[] = []
  /** The journal's records below it were removed by retention. */
  oldest = 0
  name = 'ours'
  readonly #random: Random
  readonly #crashOdds: number

  constructor(random: Random, crashOdds: number) {
    this.#random = random
    this.#crashOdds = crashOdds
  }

  place(shard: number) {
    return { shard, journal: this.name, seq: this.journal.length }
  }

  async drive(parcels: readonly Parcel[]): Promise<Taken[]> {
    const records = parcels.flatMap(({ ticks }) => recordsOf(ticks))
    // A crash before, in the midst of, or after all of them are durable: the answer is not heard.
    const isCrash = this.#random.below(1000) < this.#crashOdds
    const count = isCrash ? this.#random.below(records.length + 1) : records.length
    this.journal.push(...records.slice(0, count))
    // Others' ticks, live ones, lie between.
    for (let i = this.#random.below(3); i > 0; i--) this.journal.push(tickLive())
    if (isCrash) throw new Crash('the daemon ended')
    return parcels.map(({ ticks }) => ({ accepted: ticks.length / TICK_BYTES, duplicate: 0 }))
  }

  async settle(): Promise<void> {}

  reaches({ journal, seq }: Try): boolean {
    return journal === this.name && seq >= this.oldest && seq <= this.journal.length
  }

  replayed(_shard: number, seq: number, onRecord: (tick: Uint8Array) => void): void {
    for (const tick of this.journal.slice(seq)) {
      if ((tick[24] as number) & 4) onRecord(tick)
    }
  }
}

/** A live one, equal to a replayed one but for the flag. */
function tickLive(): Uint8Array {
  const tick = Uint8Array.from(tickOf(1, 2))
  tick[24] = 1
  return tick
}

function recordsOf(ticks: Uint8Array): Uint8Array[] {
  return Array.from({ length: ticks.length / TICK_BYTES }, (_, i) => {
    return Uint8Array.from(ticks.subarray(i * TICK_BYTES, (i + 1) * TICK_BYTES))
  })
}

/** Messages are numbers with spaces between: a record for each. None: ignored; x: refused. */
function read({ bytes }: DeadLetter): Reading {
  const text = new TextDecoder().decode(bytes)
  if (text.includes('x')) return { is: 'refused', why: 'bad_json' }
  if (text.includes('-')) return { is: 'skipped', why: 'cut' }
  const values = text.split(' ').filter((part) => part !== '')
  if (values.length === 0) return { is: 'ignored', why: 'empty' }
  const ticks = Buffer.concat(values.map((value) => tickOf(Number(value), 2)))
  return { is: 'records', shard: 0, ticks }
}

function count(journal: readonly Uint8Array[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const tick of journal) {
    if (((tick[24] as number) & 4) === 0) continue
    const key = Buffer.from(tick).toString('hex')
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

async function replay(rig: LetterRig, way: Way, limit: number, evenDoubtful = false) {
  const book = rig.book()
  try {
    const runner = new LetterReplay({ book, lanes: way, read })
    return await runner.run({ filter: {}, limit, evenDoubtful, dryRun: false })
  } catch (error) {
    if (!(error instanceof Crash)) throw error
    return undefined
  } finally {
    book.log.close()
  }
}

t.test('each letter is driven to one end, whenever a replay is cut short', async (t) => {
  const random = new Random(seed)
  let crashes = 0
  for (let round = 0; round < 60; round++) {
    const rig = new LetterRig(t)
    const store = rig.store()
    const wanted: Uint8Array[] = []
    const tally = { refused: 0, ignored: 0, skipped: 0, recovered: 0 }
    const letters = 1 + random.below(60)
    for (let i = 0; i < letters; i++) {
      // Few values: many letters are equal, and so are records within one.
      const values = Array.from({ length: random.below(5) }, () => 1 + random.below(3))
      const kind = random.below(10)
      const text = kind === 0 ? 'x' : kind === 1 ? '-' : values.join(' ')
      rig.add(store, text, { origin: i })
      // Some are written twice, as a crash of decode makes it.
      if (random.below(4) === 0) rig.add(store, text, { origin: i })
      if (kind === 0) tally.refused++
      else if (kind === 1) tally.skipped++
      else if (values.length === 0) tally.ignored++
      else tally.recovered++
      if (kind > 1) for (const value of values) wanted.push(Uint8Array.from(tickOf(value, 2)))
    }
    store.close()
    const way = new Way(random, 500)
    let last: ReplayResult | undefined
    for (let run = 0; run < 200; run++) {
      last = await replay(rig, way, 1 + random.below(80))
      if (last === undefined) crashes++
      else if (last.next === '' && Object.keys(last.settled).length === 0) break
    }
    const where = `round ${round} of seed ${seed}`
    t.same(count(way.journal), count(wanted), `each record once: ${where}`)
    const left = [...rig.book().entries({})].length
    t.equal(left, tally.refused + tally.skipped, `only what cannot be driven is left: ${where}`)
    t.match(last?.refused, tally.refused > 0 ? { bad_json: tally.refused } : {}, where)
    const settled = [...rig.book().entries({ states: ['settled'] })]
    t.equal(settled.length, tally.recovered + tally.ignored, where)
  }
  t.ok(crashes > 20, `${crashes} crashes`)
})

t.test('a letter in doubt of which the journal tells nothing is not driven unasked', async (t) => {
  const rig = new LetterRig(t)
  rig.write('1', '2')
  const way = new Way(new Random(seed), 1000)
  for (let i = 0; i < 5; i++) way.journal.push(tickLive())
  t.equal(await replay(rig, way, 10), undefined, 'cut short')
  const before = way.journal.length
  way.oldest = before + 1
  while (way.journal.length < way.oldest) way.journal.push(tickLive())
  const calm = Object.assign(new Way(new Random(seed), 0), { oldest: way.oldest })
  calm.journal.push(...way.journal)
  const result = await replay(rig, calm, 10)
  t.match(result, { letters: 2, settled: {}, skipped: { in_doubt: 2 }, records: 0 })
  t.equal(calm.journal.length, way.journal.length, 'nothing was driven')
  const replaced = Object.assign(new Way(new Random(seed), 0), { name: 'another' })
  replaced.journal.push(...way.journal)
  t.match(await replay(rig, replaced, 10), { skipped: { in_doubt: 2 } }, 'another journal')
  const forced = await replay(rig, calm, 10, true)
  t.match(forced, { settled: { recovered: 2 }, records: 2 })
  t.match(await replay(rig, calm, 10, true), { letters: 0, records: 0 }, 'and once only')
})

t.test('with damage in the log nothing is driven unasked', async (t) => {
  const rig = new LetterRig(t)
  rig.write('1', '2')
  const way = new Way(new Random(seed), 0)
  await replay(rig, way, 10)
  const file = path.join(rig.directory, 'settled.log')
  const bytes = readFileSync(file)
  bytes[3] = (bytes[3] as number) ^ 1
  writeFileSync(file, bytes)
  await t.rejects(replay(rig, way, 10), { code: 'IO', message: /damaged/ })
  t.equal(count(way.journal).size, 2)
})

t.test('random letters are read back as they were given', async (t) => {
  const random = new Random(seed + 1)
  const rig = new LetterRig(t, MIB)
  const store = rig.store()
  const given: object[] = []
  for (let i = 0; i < 400; i++) {
    const source = random.below(LETTER_SOURCES.length + 2)
    const bytes = Uint8Array.from({ length: random.below(300) }, () => random.below(256))
    const start = random.below(bytes.length + 1)
    const reason = random.below(REJECT_REASONS.length)
    const meta = metaOf({ source, recvNsec: i, format: random.below(256) })
    store.addMessage(reason, meta, bytes, start, bytes.length)
    given.push({
      reason: REJECT_REASONS[reason],
      sourceName: LETTER_SOURCES[source] ?? '',
      format: meta.format,
      recvNs: 1_700_000_000_000_000_000n + BigInt(i),
      origin: start,
      hex: Buffer.from(bytes.subarray(start)).toString('hex'),
    })
  }
  store.close()
  const read = [...rig.book().entries({})].map(({ letter }) => {
    const { reason, sourceName, format, recvNs, origin, bytes } = letter
    return { reason, sourceName, format, recvNs, origin, hex: Buffer.from(bytes).toString('hex') }
  })
  t.same(read, given)
})

t.test(
  'no cut and no flipped bit of a file brings another letter than those written',
  async (t) => {
    const random = new Random(seed + 2)
    const rig = new LetterRig(t)
    const store = rig.store()
    for (let i = 0; i < 40; i++) rig.add(store, `letter ${i} ${'y'.repeat(random.below(90))}`)
    store.close()
    const file = path.join(rig.directory, 'shard-0', letterFileName(1))
    const whole = readFileSync(file)
    const written = new Set([...rig.book().entries({})].map(({ digest }) => digest))
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(whole.subarray(0, random.below(whole.length + 1)))
      for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--) {
        const at = random.below(bytes.length)
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
      }
      writeFileSync(file, bytes)
      for (const { digest } of rig.book().entries({})) {
        if (!written.has(digest)) t.fail(`round ${round} of seed ${seed}: a letter of ${digest}`)
      }
    }
    t.equal(written.size, 40)
  },
)
