// A latest value -> fields of the instrument's hash, as text. docs/redis.md lists them.
//
// Decimals are exact, times RFC 3339 with nine digits; what is null is the empty string, so that a
// value which was there before does not survive. Not a hot path: it runs once a changed value and
// flush, however many ticks came.

import type { TickBatch } from '../../tick/batch.ts'
import { formatDecimal, isNull } from '../../tick/fixed-point.ts'
import {
  KIND,
  MARKET_NAMES,
  PRICE_DECIMALS,
  SIDE_NAMES,
  SIZE_DECIMALS,
  STATUS_NAMES,
  TICK_WORDS,
  WORD,
} from '../../tick/layout.ts'
import { formatTimeAt } from '../../tick/time.ts'

/** Field names and values in turn, for tick `index` of the batch, which has sequence `seq`. */
export function latestFields(batch: TickBatch, index: number, seq: number): string[] {
  const { words } = batch
  const at = index * TICK_WORDS
  const p0 = at + WORD.p0
  const ts = formatTimeAt(words, at + WORD.ts_event) ?? ''
  const price = (field: number) => decimal(words, p0 + 2 * field, PRICE_DECIMALS)
  const size = (field: number) => decimal(words, p0 + 2 * field, SIZE_DECIMALS)
  const whole = (field: number) => decimal(words, p0 + 2 * field, 0)
  const position = String(seq)
  switch (batch.kind(index)) {
    case KIND.trade:
      return [
        ...['trade_price', price(0), 'trade_size', size(1)],
        ...['trade_side', SIDE_NAMES[batch.side(index)] ?? 'none', 'trade_id', whole(2)],
        ...['trade_ts', ts, 'trade_seq', position, 'seq', position],
      ]
    case KIND.quote:
      return [
        ...['bid_price', price(0), 'bid_size', size(1), 'ask_price', price(2), 'ask_size', size(3)],
        ...['quote_ts', ts, 'quote_seq', position, 'seq', position],
      ]
    case KIND.price:
      return [
        ...['price', price(0), 'energy', price(1), 'congestion', price(2), 'loss', price(3)],
        ...['market', MARKET_NAMES[batch.market(index)] ?? 'none'],
        ...['interval_minutes', String(batch.interval(index))],
        ...['price_ts', ts, 'price_seq', position, 'seq', position],
      ]
    case KIND.status:
      return [
        ...['status', STATUS_NAMES[batch.action(index)] ?? 'none'],
        ...['status_ts', ts, 'status_seq', position, 'seq', position],
      ]
    default:
      // A book level is no value of its own: the latest table has none.
      return []
  }
}

function decimal(words: Int32Array, index: number, decimals: number): string {
  return isNull(words, index) ? '' : formatDecimal(words, index, decimals)
}
