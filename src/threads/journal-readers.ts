// Who reads the journal of a shard, and what each does about records that are damaged.
//
// A store passes over them: they are lost to it, counted, an incident. The latest values do as
// well; and when the journal cannot be read at all they are recovered as far as it could be, for
// they are only a cache of what the feed will say again.

import type { JournalTail } from '../aggregate/agent.ts'
import { errorText, TickdError } from '../errors.ts'
import type { Damage } from '../journal/damage.ts'
import { SkippingReader } from '../journal/skipping-reader.ts'
import { JOURNAL_BLOCK_TICKS_MAX } from '../limits.ts'
import type { CounterName } from '../ops/counter-catalog.ts'
import type { CounterSet } from '../ops/counters.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { Log } from '../ops/log.ts'
import { POSITION } from '../pipeline.ts'
import type { StoreReader } from '../storage/postgres/agent.ts'
import { TickBatch } from '../tick/batch.ts'
import type { AgentFactory } from './agents.ts'
import { spoilReader } from './planted-bugs.ts'

/** Journal records that the latest table is recovered from at start, a shard. */
const LATEST_TAIL_TICKS = 256 * JOURNAL_BLOCK_TICKS_MAX

/** Opens readers for the store of a shard, one after the other. */
export function storeReaders(
  factory: AgentFactory,
  shard: number,
  log: Log,
): (fromSeq: number) => StoreReader {
  const { shared, raise } = factory.options
  const onSkip = lossTeller({
    shard,
    counters: shared.counters('postgres', String(shard)),
    log,
    raise,
  })
  return (fromSeq) => spoilReader(factory.options.faults, open(factory, shard, fromSeq, onSkip))
}

export interface LossTellerOptions {
  shard: number
  counters: CounterSet<CounterName<'postgres'>>
  log: Log
  raise: (report: IncidentReport) => void
}

/** Counts and tells what a store passes over. */
export function lossTeller(options: LossTellerOptions): (damage: Damage) => void {
  const { shard, counters, log, raise } = options
  // A reader that begins anew before the loss was committed meets it again: it counts once.
  let toldSeq = 0
  return (damage) => {
    const { toSeq, file, offset, what } = damage
    const from = Math.max(damage.fromSeq, toldSeq)
    if (from >= toSeq) return
    toldSeq = toSeq
    const to = toSeq - 1
    const lost = { shard, from, to, records: toSeq - from, file, offset, what }
    counters.add('records_lost', lost.records)
    log.error(lost, 'damaged records of the journal cannot be stored: they are lost here')
    raise({
      kind: 'journal_damaged',
      severity: 'critical',
      summary: `Records ${from} to ${to} of shard ${shard} are damaged and were not stored`,
      evidence: lost,
    })
  }
}

/** Id of the start of the daemon that wrote a record; '' where that cannot be read. */
export function startOf(factory: AgentFactory, shard: number, seq: number): string {
  if (seq < factory.options.shared.position(shard, POSITION.oldest).load()) return ''
  const reader = open(factory, shard, seq, () => {})
  try {
    const batch = new TickBatch(1)
    return reader.read(batch) === 1 && reader.seq === seq + 1 ? reader.start : ''
  } catch {
    // A journal that cannot be read there says so to whoever has to read it.
    return ''
  } finally {
    reader.close()
  }
}

/** The end of a shard's journal, to recover latest values from. */
export function latestTail(factory: AgentFactory, shard: number, log: Log): JournalTail {
  const { shared } = factory.options
  const oldest = shared.position(shard, POSITION.oldest).load()
  const { firstSeq } = shared.shard(shard)
  const fromSeq = Math.max(oldest, firstSeq - LATEST_TAIL_TICKS)
  const reader = open(factory, shard, fromSeq, (damage) => {
    log.warn({ shard, ...damage }, 'damaged records of the journal: older latest values stay')
  })
  return {
    get seq() {
      return reader.seq
    },
    read: (out) => {
      try {
        return reader.read(out)
      } catch (thrown) {
        if (!(thrown instanceof TickdError)) throw thrown
        log.error({ shard, error: errorText(thrown) }, 'latest values are recovered in part only')
        return 0
      }
    },
    close: () => reader.close(),
  }
}

function open(
  factory: AgentFactory,
  shard: number,
  fromSeq: number,
  onSkip: (damage: Damage) => void,
): SkippingReader {
  const durable = factory.options.shared.position(shard, POSITION.durable)
  return new SkippingReader({
    directory: factory.journalDirectory(shard),
    shard,
    fromSeq,
    durable: () => durable.load(),
    onSkip,
  })
}
