// The closed lists of what can become of a message or record that is not stored.
//
// Counters, metrics, dead letters and `decode --summary` use these names. The index in a list is
// its number in shared memory and in the dead-letter file: append, never reorder.
//
//   frame   what a source puts on the ring: one venue frame, or a chunk of whole lines
//   message one unit of a frame: a venue frame is one message, a chunk has one a line
//   message = decoded + ignored(reason) + rejected(reason)
//   record  = accepted + duplicate + quarantined(reason)
//   accepted = stored + refused by the store(reason) + not yet stored

/** Understood, and rightly not turned into records. */
export const IGNORE_REASONS = [
  'control', // subscribe replies, pings, venue notices
  'bar', // venue-made candles: counted, tickd builds its own
  'stale_depth', // depth update wholly behind the book's snapshot
  'unsynced_depth', // depth update of a book that waits for its snapshot
  'unused_snapshot', // snapshot that no depth update needed
  'unsupported_stream', // a stream that we know and do not record (24-hour tickers …)
  'empty', // a blank line, or an event with no levels
  'capture_marker', // header, connect, send lines of a capture
] as const
export type IgnoreReason = (typeof IGNORE_REASONS)[number]

/** Not understood: the raw bytes go to the dead letters. */
export const REJECT_REASONS = [
  'bad_json', // what JSON.parse refuses
  'not_an_object', // JSON, but not of the form the venue documents
  'unknown_event', // an event type that the decoder does not know
  'missing_field',
  'bad_field', // a field of the wrong JSON type or spelling
  'bad_decimal', // not a decimal number
  'too_many_decimals', // would have to be rounded
  'overflow', // beyond ±(2^63 - 1) at its scale
  'bad_time', // not a time, or outside 1970 … 2262
  'bad_symbol', // empty, too long, or not in the venue's alphabet
  'instrument_limit', // the instrument table is full
  'too_many_records', // more records than a batch holds
  'oversize', // longer than FRAME_BYTES_MAX
  'bad_packed', // packed ticks: wrong length, kind, or reserved bytes
  'unknown_format', // no decoder for the frame's format
  'decoder_crash', // the decoder threw on it twice
  'batch_id_reused', // a pushed batch whose id stood for other bytes before
] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

/** Decoded, and refused by a rule: kept raw with the reason. */
export const QUARANTINE_REASONS = [
  'price_out_of_range',
  'negative_size',
  'null_price', // a trade, book level or settlement price without a price
  'zero_trade_size', // zero, or none
  'crossed_quote', // bid above ask
  'future_time', // event time beyond the bound ahead of receive time
  'unknown_kind',
  'unknown_instrument',
] as const
export type QuarantineReason = (typeof QUARANTINE_REASONS)[number]

/** Accepted, durable, and refused by a store. */
export const STORE_REASONS = [
  'refused_by_postgres', // a constraint or trigger of the operator's; the letter has the SQLSTATE
] as const
export type StoreReason = (typeof STORE_REASONS)[number]

/** All reasons with which bytes can come to the dead letters. */
export const DEAD_LETTER_REASONS = [
  ...REJECT_REASONS,
  ...QUARANTINE_REASONS,
  ...STORE_REASONS,
] as const
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number]
