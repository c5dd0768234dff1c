// The log of instruments, completed from the database after the state directory was lost or rolled
// back: ids name instruments in stored rows, and must go on meaning what they mean there.

import { INSTRUMENTS_MAX } from '../limits.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { type Instrument, InstrumentTable } from '../tick/instruments.ts'

/**
 * Appends to the log at `path` what the database has beyond it; returns how many. Nothing when the
 * two differ in what both have: the store refuses such a database, and says why.
 */
export function restoreInstruments(path: string, stored: readonly Instrument[]): number {
  const memory = InstrumentTable.create(INSTRUMENTS_MAX)
  const log = new InstrumentLog(path)
  log.load(memory, INSTRUMENTS_MAX)
  const table = new InstrumentTable(memory, INSTRUMENTS_MAX)
  const { count } = table
  const isBeginning = stored.slice(0, count).every(({ id, venue, symbol }) => {
    const ours = table.get(id)
    return ours?.venue === venue && ours.symbol === symbol
  })
  const missing = stored.slice(count)
  const isDense = missing.every(({ id }, i) => id === count + i + 1)
  if (!isBeginning || !isDense) return 0
  for (const instrument of missing) log.append(instrument)
  log.close()
  return missing.length
}
