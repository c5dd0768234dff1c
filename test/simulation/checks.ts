// What must hold at the end of a schedule, when every fault is mended and all has come to rest.

import type { Faults } from './faults.ts'
import type { Batch, Pusher } from './pusher.ts'
import type { StoredRow } from './sql-state.ts'
import { check } from './violation.ts'
import type { World } from './world.ts'

/** Balances that hold between any two duty cycles. */
export function checkBalances(world: World): void {
  const { daemon, published } = world
  if (daemon === undefined) return
  const { decode, serve } = daemon.memory.counters
  let accepted = 0
  for (const counters of decode) {
    const sums = { ignored: 0, rejected: 0 }
    for (const name of counters.names) {
      if (name.startsWith('ignored_')) sums.ignored += counters.get(name)
      if (name.startsWith('rejected_')) sums.rejected += counters.get(name)
    }
    const messages = counters.get('messages')
    const balance = counters.get('messages_decoded') + sums.ignored + sums.rejected
    check('messages are accounted for', messages === balance, () => `${messages} ≠ ${balance}`)
    const records = counters.get('records')
    const parts =
      counters.get('records_accepted') +
      counters.get('records_duplicate') +
      counters.get('records_quarantined')
    check('records are accounted for', records === parts, () => `${records} ≠ ${parts}`)
    accepted += counters.get('records_accepted')
  }
  // Where decode ended in the midst of it, its successor counts what was published.
  const count = daemon.isRunning('decode') ? published.ticks.length - published.firstSeq : accepted
  check('records accepted are records published', accepted === count, () => {
    return `${accepted} accepted, ${count} published`
  })
  const owed = serve.get('records_published')
  const told = serve.get('records_delivered') + serve.get('records_skipped')
  check('records owed to subscribers are accounted for', owed === told, () => `${owed} ≠ ${told}`)
}

/** At rest: every frame that was received was decoded. */
export function checkFrames(world: World): void {
  const { daemon } = world
  if (daemon === undefined) return
  const { decode, source } = daemon.memory.counters
  decode.forEach((counters, index) => {
    const received = source[index]?.get('frames') ?? 0
    const taken = counters.get('frames')
    check('frames are accounted for', received === taken, () => {
      return `source ${index}: ${received} received, ${taken} decoded`
    })
  })
}

/** At rest: the database holds what was published and durable, each record once. */
export function checkStored(world: World, faults: Faults): void {
  const rows = rowsBySeq(world)
  const { published, lost, damaged } = world
  const mayBeLostBelow = faults.storedBeforeRestore
  for (const { file, fromSeq } of damaged) {
    check('only damaged records are passed over', faults.flippedPaths.has(file), () => {
      return `record ${fromSeq} in ${file}, in which no bit was flipped`
    })
  }
  for (const [from, to] of lost) {
    check('nothing leaves the journal before it is stored', to < mayBeLostBelow, () => {
      return `records ${from} … ${to} were lost, and the database had never held them`
    })
  }
  const isLost = lostIn(world)
  published.ticks.forEach((tick, seq) => {
    const row = rows.get(seq)
    if (row === undefined) {
      check('every record is stored', isLost(seq), () => `record ${seq} is in no table`)
      return
    }
    const isSame =
      row.tradeId === tick.tradeId && row.instrument === tick.instrument && row.price === tick.price
    check('what is stored is what was published', isSame, () => {
      return `record ${seq} is trade ${row.tradeId}, and trade ${tick.tradeId} was published`
    })
  })
  check('nothing is stored that was not published', rows.size <= published.ticks.length, () => {
    return `${rows.size} rows of ${published.ticks.length} records`
  })
  for (const pusher of world.pushers) checkPusher(world, pusher, rows)
  checkOrder(world)
}

/** Was the record declared lost to the store? */
function lostIn({ lost, damaged }: World): (seq: number) => boolean {
  return (seq) =>
    lost.some(([from, to]) => seq >= from && seq <= to) ||
    damaged.some(({ fromSeq, toSeq }) => seq >= fromSeq && seq < toSeq)
}

function rowsBySeq(world: World): Map<number, StoredRow> {
  const rows = new Map<number, StoredRow>()
  for (const row of world.postgres.rows) {
    check('no record is stored twice', !rows.has(row.seq), () => `record ${row.seq}`)
    rows.set(row.seq, row)
  }
  return rows
}

/** What a pusher was told is true. */
function checkPusher(world: World, pusher: Pusher, rows: Map<number, StoredRow>): void {
  const seqs = new Map<number, number>()
  const isLost = lostIn(world)
  world.published.ticks.forEach(({ tradeId }, seq) => {
    const before = seqs.get(tradeId)
    // Of what was damaged at a start, nobody knew that it had been pushed; it may be mended since.
    const isKnown = before !== undefined && !isLost(before)
    const isTwice = isKnown && rows.has(before) && rows.has(seq)
    check('no tick is stored twice', !isTwice, () => {
      return `trade ${tradeId} is record ${before} and ${seq}`
    })
    seqs.set(tradeId, seq)
  })
  for (const batch of pusher.batches) {
    const there = batch.tradeIds.filter((id) => seqs.has(id)).length
    checkBatch(batch, there)
    if (batch.state !== 'acknowledged' || batch.firstSeq < 0) continue
    batch.tradeIds.forEach((id, i) => {
      const seq = batch.firstSeq + i
      check('an answer names the right sequences', seqs.get(id) === seq, () => {
        return `trade ${id} was acknowledged as record ${seq}, and is ${seqs.get(id)}`
      })
    })
  }
}

function checkBatch({ state, tradeIds }: Batch, there: number): void {
  const count = tradeIds.length
  switch (state) {
    case 'acknowledged':
      check('an acknowledged tick is stored', there === count, () => {
        return `${there} of ${count} ticks of trade ${tradeIds[0]}’s batch`
      })
      break
    case 'waiting':
      check('every push is answered', false, () => `trade ${tradeIds[0]}’s batch`)
      break
    case 'rejected':
      check('a refused batch is not stored', there === 0, () => `trade ${tradeIds[0]}’s batch`)
      break
    case 'unknown':
      break
    case 'sent':
      check('every push is answered', false, () => `trade ${tradeIds[0]}’s batch`)
  }
}

/** Trade ids of an instrument ascend, as they were sent. */
function checkOrder(world: World): void {
  const { published, symbolOf } = world
  const isLost = lostIn(world)
  const last = new Map<number, number>()
  published.ticks.forEach(({ instrument, tradeId }, seq) => {
    const before = last.get(instrument) ?? 0
    if (isLost(seq)) return
    check('the order of an instrument is kept', tradeId > before, () => {
      return `${symbolOf(instrument)}: trade ${tradeId} at ${seq} follows ${before}`
    })
    last.set(instrument, tradeId)
  })
}
