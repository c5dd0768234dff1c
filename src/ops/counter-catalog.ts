// The one list of counters and gauges: which sets exist, what is in them, and what each means.
//
// `/metrics` derives its names from it: tickd_<set>_<name> (counters get `_total`). Sets named
// `source`, `decode` and `driven` exist once a source (`source` of the one of type http: once a
// serve thread), `thread` once a thread, rings’ once a ring, `breaker` once a dependency; the
// others once an agent.

import { IGNORE_REASONS, QUARANTINE_REASONS, REJECT_REASONS } from '../ledger/reasons.ts'

export interface CounterDescription {
  readonly help: string
  readonly type: 'counter' | 'gauge'
}

const counter = (help: string): CounterDescription => ({ help, type: 'counter' })
const gauge = (help: string): CounterDescription => ({ help, type: 'gauge' })

function perReason<const Prefix extends string, const Reason extends string>(
  prefix: Prefix,
  reasons: readonly Reason[],
  help: string,
): Record<`${Prefix}_${Reason}`, CounterDescription> {
  return Object.fromEntries(
    reasons.map((reason) => [`${prefix}_${reason}`, counter(`${help}: ${reason}`)]),
  ) as Record<`${Prefix}_${Reason}`, CounterDescription>
}

export const COUNTER_CATALOG = {
  source: {
    frames: counter('Frames put on the frame ring'),
    bytes: counter('Payload bytes put on the frame ring'),
    frames_dropped: counter('Frames that found no room and could not be held back'),
    bytes_dropped: counter('Payload bytes of the dropped frames'),
    stalls: counter('Times the source was held back because the ring was full'),
    connects: counter('Connections opened'),
    disconnects: counter('Connections lost or closed'),
    refusals: counter('Connections or subscriptions that the other side refused'),
    connections: gauge('Connections open now'),
    silent_restarts: counter('Connections reopened because nothing arrived in time'),
    rotations: counter('Connections replaced before the venue would close them'),
    snapshots: counter('Book snapshots fetched'),
    acks: counter('Pushed batches acknowledged: their records are durable'),
  },
  decode: {
    groups_begun: counter('Groups of frames whose counting has begun'),
    frames: counter('Frames taken from the frame ring'),
    bytes: counter('Payload bytes of those frames'),
    messages: counter('Messages in those frames'),
    messages_decoded: counter('Messages that became records'),
    events_trade: counter('Trade events'),
    events_quote: counter('Quote events'),
    events_book: counter('Book events'),
    events_price: counter('Price events'),
    events_status: counter('Status events'),
    events_bar: counter('Bars that a venue sent'),
    records: counter('Records decoded'),
    records_accepted: counter('Records published on the tick ring'),
    records_duplicate: counter('Records dropped as exact repeats'),
    records_quarantined: counter('Records refused by a rule'),
    batches: counter('Pushed batches (or parts of one) with an id, published'),
    batches_repeated: counter('The same, of which nothing was published: they had been before'),
    gaps: counter('Gaps in a venue sequence'),
    gap_missing: counter('Venue ids missing in those gaps, where the venue numbers densely'),
    decoder_crashes: counter('Times a decoder threw'),
    ...perReason('ignored', IGNORE_REASONS, 'Messages ignored'),
    ...perReason('rejected', REJECT_REASONS, 'Messages rejected'),
    ...perReason('quarantined', QUARANTINE_REASONS, 'Records quarantined'),
    groups: counter('Groups of frames counted; all counts of a group lie between the two'),
  },
  dead_letters: {
    letters: counter('Dead letters written'),
    bytes: counter('Bytes of dead letters written'),
    letters_discarded: counter('Dead letters discarded to stay within the budget'),
    write_failures: counter('Dead letters lost because the disk refused them'),
    sync_failures: counter('fsyncs of dead letters that failed'),
  },
  letters: {
    recovered: counter('Dead letters driven again whose records were stored'),
    records: counter('Records of those'),
    duplicate: counter('Dead letters driven again that repeat what is stored'),
    ignored: counter('Dead letters driven again that are rightly no record'),
    quarantined: counter('Dead letters driven again whose records a rule refuses'),
    refused: counter('Times a dead letter was driven again and refused as before'),
    purged: counter('Dead letters given up by hand'),
  },
  journal: {
    records: counter('Records appended'),
    blocks: counter('Blocks appended'),
    bytes: counter('Bytes appended'),
    syncs: counter('Group fsyncs'),
    sync_us_max: gauge('Longest fsync, microseconds'),
    segments: gauge('Segments on disk'),
    segment_bytes: gauge('Bytes of segments on disk'),
    segments_removed: counter('Segments removed by retention'),
    holds: counter('Times the disk refused records and ingest was held back'),
    holding: gauge('1 while the disk refuses records: ingest is held back'),
    over_budget: gauge('1 while it does so for its budget (bytes_max, free_bytes_min)'),
    held_seconds: counter('Time in which ingest was held back'),
    sync_failures: counter('Failed fsyncs: what was not durable was appended again elsewhere'),
    free_bytes: gauge('Bytes free on the file system of the journal'),
  },
  aggregate: {
    records: counter('Records applied to the latest table'),
  },
  postgres: {
    records: counter('Records stored'),
    records_refused: counter('Records that PostgreSQL refused: kept in its table `refused`'),
    batches: counter('Transactions committed'),
    bytes: counter('COPY bytes sent'),
    failures: counter('Transactions that failed and were tried again'),
    partitions: counter('Partitions created'),
    instruments: counter('Instruments written'),
    records_lost: counter('Records that left the journal before they could be stored'),
    stored_seq: gauge('Next sequence to store'),
    connected: gauge('1 while connected'),
    connects: counter('Connections that began to store'),
  },
  redis: {
    flushes: counter('Pipelines sent'),
    keys: counter('Latest values written'),
    stream_entries: counter('Stream entries added'),
    failures: counter('Pipelines that failed'),
    connected: gauge('1 while connected'),
  },
  breaker: {
    state: gauge('State of the circuit breaker: 0 closed, 1 half-open, 2 open'),
    opens: counter('Times the breaker opened'),
    probes: counter('Attempts made while it was open, to see whether it may close'),
    failures: counter('Attempts that failed'),
    failures_in_row: gauge('Failures since the last success'),
    since_seconds: gauge('Since when it is closed, or not closed, Unix time'),
    retry_at_seconds: gauge('While open: when the next probe may begin, Unix time'),
    failed_at_seconds: gauge('When an attempt last failed, Unix time; 0 = never'),
  },
  serve: {
    records: counter('Records read from the tick ring'),
    records_lapped: counter('Records overrun before they could be read'),
    subscribers: gauge('Subscribers connected now'),
    subscriptions: gauge('Subscriptions open now'),
    records_published: counter('Records times subscribers to whom they were owed'),
    records_delivered: counter('Records handed to subscriber sockets'),
    records_skipped: counter('Records declared as skipped to a subscriber'),
    frames: counter('Data frames handed to subscriber sockets'),
    bytes: counter('Bytes handed to subscriber sockets'),
    subscriptions_unbalanced: counter('Subscriptions that ended with published != sent + skipped'),
    slow_closed: counter('Subscribers closed for reading too slowly'),
    books: gauge('Order books kept'),
    books_not_whole: gauge('Order books of which no whole image is at hand'),
    books_broken: counter('Order books found with a gap or crossed, each time'),
    connects: counter('Subscribers connected'),
    protocol_errors: counter('Error messages sent to subscribers'),
    subscribers_pending: gauge('Feed connections that have not yet sent their token'),
    access_denied: counter('Requests and connections without a valid token, right or origin'),
    access_limited: counter('Requests and connections beyond a limit of their key or address'),
    access_revoked: counter('Subscribers closed as their key was revoked or expired'),
    access_file_errors: counter('Changed files of keys that could not be read: the old ones hold'),
    connections: gauge('Connections of any kind open now'),
    audit_dropped: counter('Decisions on access that the audit log had no room for'),
    http_requests: counter('HTTP requests'),
    http_errors: counter('HTTP responses with status 4xx or 5xx'),
  },
  thread: {
    starts: counter('Times the thread was started; more than one: it had died'),
    busy_seconds: counter('Time neither asleep nor waiting in the event loop'),
    idle_seconds: counter('Time asleep, or waiting in the event loop'),
    utilization: gauge('Share of the last second that was busy (event-loop utilisation)'),
    gc_pauses: counter('Collections of garbage'),
    gc_seconds: counter('Time in collections'),
    gc_seconds_max: gauge('Longest collection since the daemon started'),
    heap_used_bytes: gauge('Size of the JavaScript heap in use'),
    external_bytes: gauge('Memory outside of the heap that its objects hold'),
    hangs: counter('Times the thread stood still and was ended'),
    deaths: counter('Times the thread ended although nobody had asked the daemon to stop'),
  },
  agent: {
    duty_cycles: counter('Duty cycles that did work'),
    duty_seconds: counter('Time in duty cycles that did work'),
    duty_seconds_max: gauge('Longest duty cycle since the daemon started'),
    duty_long: counter('Duty cycles of more than 10 ms'),
    restarts: counter('Times the agent failed and was made anew'),
  },
  driven: {
    frames: counter('Frames of dead letters put on the frame ring again'),
    bytes: counter('Payload bytes of those frames'),
  },
  ledger: {
    imbalance: gauge('Balances of the ledger that do not hold now; anything but 0 is an incident'),
    imbalance_amount: gauge('Sum of what is missing or too much in them'),
    imbalances: counter('Times a balance was found that does not hold'),
    samples: counter('Readings of all counters'),
    minutes: counter('Minutes closed'),
    interruptions: counter('Ends of the daemon that closed no minute, as found at this start'),
    bytes: gauge('Bytes of the ledger on disk'),
    lines_damaged: gauge('Lines of the ledger that are not what was written, as last read'),
    write_failures: counter('Times the disk refused the ledger'),
    lines_lost: counter('Lines given up because the disk refused them for too long'),
  },
  incidents: {
    raised: counter('Incidents raised'),
    critical: counter('Of them, critical: something was lost, or is not what it claims to be'),
    repeated: counter('Incidents raised again within a minute: counted only'),
  },
  frame_ring: {
    fill_bytes: gauge('Bytes that decode has not released'),
    capacity_bytes: gauge('Bytes that the ring holds'),
  },
  tick_ring: {
    lag_records: gauge('Records that the consumer has not released'),
    capacity_records: gauge('Records that the ring holds'),
  },
} as const satisfies Record<string, Record<string, CounterDescription>>

export type CounterSetName = keyof typeof COUNTER_CATALOG
export type CounterName<Set extends CounterSetName> = Extract<
  keyof (typeof COUNTER_CATALOG)[Set],
  string
>

/** The names of a set, in the order of its memory. */
export function counterNames<Set extends CounterSetName>(set: Set): readonly CounterName<Set>[] {
  return Object.keys(COUNTER_CATALOG[set]) as CounterName<Set>[]
}
