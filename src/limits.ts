// Every limit of the program that is not configuration, each with why; relations asserted at load.

import { assert } from './errors.ts'

export const KIB = 1024
export const MIB = 1024 * KIB

/** A cross-thread word lives alone on so many bytes: two lines, as adjacent-line prefetch pairs. */
export const CACHE_ISOLATION_BYTES = 128

/** Largest frame a source may pass on. Venue snapshots of 5,000 levels are about 500 KiB. */
export const FRAME_BYTES_MAX = 1 * MIB
/** Push sources cut their stream into frames of whole lines of about this size. */
export const FRAME_CHUNK_BYTES = 64 * KIB
/** One read of a push socket. */
export const TCP_READ_BYTES = 256 * KIB
/** Frame ring of a producer thread; holds several of the largest frames. */
export const FRAME_RING_BYTES = 8 * MIB
/** Decode -> producer notices (receipts, resync requests) are 80 bytes each. */
export const FEEDBACK_RING_BYTES = 256 * KIB
/** Receipts a producer may have outstanding: all of them fit in the feedback ring at once. */
export const RECEIPTS_OUTSTANDING_MAX = 2048

/** Ticks that one frame may become: 2 x 5,000 levels of a full snapshot fit, with a margin. */
export const BATCH_TICKS_MAX = 16_384
/** Tick ring of a shard: 16 MiB; at 1 M ticks/s a quarter of a second of slack for its readers. */
export const TICK_RING_TICKS = 262_144
/** Gating consumers a tick ring has room for (journal, aggregate, and two to come). */
export const TICK_RING_CONSUMERS_MAX = 4

/** Shards of one daemon; the shard is the top 8 bits of a stored position. */
export const SHARDS_MAX = 64
/** Ticks of one shard, ever: positions stay below 2^48 so that shard and seq share an int8. */
export const SEQ_MAX = 2 ** 48 - 1
/** Sources in one configuration: a u16 in the record, but counters are laid out per source. */
export const SOURCES_MAX = 256
/** Instruments of one daemon, ever: ids are never reused. */
export const INSTRUMENTS_MAX = 65_536
/** Venue plus symbol, UTF-8 bytes. Power nodes have the longest names. */
export const INSTRUMENT_NAME_BYTES_MAX = 84

/** Trade ids that one shard remembers: 4 M of them at 16 bytes. */
export const DUPLICATE_BYTES_MAX = 64 * MIB

/** A dead-letter file is closed at an eighth of the budget, and at this size. */
export const DEAD_LETTER_FILE_BYTES_MAX = 64 * MIB
/** Dead letters are gathered in memory up to this size before they are written. */
export const DEAD_LETTER_BUFFER_BYTES = 256 * KIB

/** Letters that a crash can make be written twice: a group of lines of one byte and its end. */
export const DEAD_LETTER_REPEATS_MAX = FRAME_BYTES_MAX / 2
/** Dead letters that are driven again at a time: an fsync before and one after for so many. */
export const LETTERS_UNDER_WAY_MAX = 512
/** As above, in bytes: well under what the frame ring holds. */
export const LETTERS_UNDER_WAY_BYTES_MAX = 2 * MIB
/** Letters driven again by one call; the next call goes on behind them. */
export const LETTERS_PER_CALL_MAX = 100_000
/** Letters in one list, about 500 bytes each as text. */
export const LETTERS_LISTED_MAX = 10_000
/** Decode, or the journal, does not move for so long while letters are under way: given up. */
export const LETTERS_STALL_MS_MAX = 30_000
/** A call about dead letters that takes longer is given up, and its thread ended. */
export const LETTERS_CALL_MS_MAX = 600_000
/** The thread for dead letters ends when nobody has asked for so long. */
export const LETTERS_IDLE_MS = 5000
/** Calls about dead letters that wait for the one under way. */
export const LETTERS_CALLS_MAX = 16

/** Decode publishes small frames together, up to this many records (a larger frame goes alone). */
export const GROUP_TICKS = 1024
/** As above, frames: bounds what a restart does again. */
export const GROUP_FRAMES_MAX = 128

/** Journal: ticks in one checksummed block; a pushed batch that has more is a block of its own. */
export const JOURNAL_BLOCK_TICKS_MAX = 4096
/** Journal: pushed batches in one block, 64 KiB of marks. */
export const JOURNAL_BLOCK_MARKS_MAX = 1024
/** Decode -> journal: pushed batches whose records are not yet durable, 512 KiB of marks. */
export const MARK_RING_MARKS = 8192
/** At start, segments are looked through for marks up to so many bytes of them, newest first. */
export const BATCH_MARKS_SCAN_BYTES = 2048 * MIB

/** Partitions one transaction may touch: each costs locks, of which PostgreSQL has about 6,400. */
export const PARTITIONS_PER_TRANSACTION_MAX = 64
/** Partitions of one store: eleven years of trades, or of several kinds; then the default one. */
export const PARTITIONS_MAX = 4096
/** Event times further ahead than this go to the default partition. */
export const PARTITION_DAYS_AHEAD_MAX = 366
/** Failures in a row that open a circuit breaker: one or two are a restart or a cut connection. */
export const BREAKER_FAILURES_MAX = 3
/** Waits of an open breaker between probes: doubled from first to second. */
export const STORE_RETRY_MS_MIN = 100
export const STORE_RETRY_MS_MAX = 10_000
/** Records that the database may refuse in a minute; with more, it is no record that is wrong. */
export const STORE_REFUSALS_PER_MINUTE_MAX = 100
/** A start waits so long for a database or Redis; then the daemon runs, and goes on trying. */
export const STORE_START_MS_MAX = 2000
/** A database that answers nothing for so long is given up, and connected anew. */
export const STORE_STALL_MS_MAX = 60_000
/** Masters of one Redis cluster: Redis itself advises at most a thousand nodes. */
export const REDIS_CLUSTER_NODES_MAX = 1000
/** An idle connection to Redis is looked at so often: is this still where writes belong? */
export const REDIS_CHECK_MS = 10_000
/** Latest values in one Redis pipeline: bounds the memory of a flush, about 10 MB. */
export const REDIS_PIPELINE_VALUES_MAX = 10_000

/** Feed: longest control message of a subscriber; longer ones close the socket with 1009. */
export const FEED_MESSAGE_BYTES_MAX = 64 * KIB
/** As above, longest that is received at all: the server cuts a longer one off without a code. */
export const FEED_MESSAGE_BYTES_RECEIVED_MAX = 256 * KIB
/** Symbols and globs of one subscription; globs cost a scan of the instruments each. */
export const FEED_SYMBOLS_MAX = 1000
export const FEED_GLOBS_MAX = 16
/** Streams that a connection left by an update and can still fill what it missed of. */
export const FEED_FORMER_STREAMS_MAX = 16
/** Distinct streams at once: each has a sequence and a frame buffer of its own. */
export const FEED_STREAMS_MAX = 16_384
/** Instruments listed in one answer; the rest are in GET /v1/instruments. */
export const FEED_INSTRUMENTS_LISTED_MAX = 4096
/** Control messages of a subscriber: enough for all its subscriptions at once, then a trickle. */
export const FEED_MESSAGES_BURST = 512
export const FEED_MESSAGES_PER_SECOND = 50
/** Refused messages in a row, after which the subscriber is closed. */
export const FEED_STRIKES_MAX = 100
/**
 * Replays that read the journal at once (a quarter of a MiB each), and those that wait for them.
 */
export const FEED_REPLAYS_MAX = 16
export const FEED_REPLAYS_WAITING_MAX = 4096
/**
 * Records that a replay reads in one turn of the feed, and those counted again after an overrun.
 */
export const FEED_REPLAY_TICKS = 1024
export const FEED_RECOUNT_TICKS = 65_536
/** Records between two places to replay from: read over in well under a tenth of a second. */
export const FEED_CHECKPOINT_TICKS = 524_288
/** Such places, in memory and as a file, a shard. */
export const FEED_CHECKPOINT_BYTES_MAX = 16 * MIB
/** Starts of the daemon that are remembered, to find the way in what the journal has forgotten. */
export const FEED_EPOCHS_MAX = 4096
/**
 * Replays that read PostgreSQL at once, a connection each; the records of a page (a MiB), and how
 * long the server may take over one.
 */
export const FEED_STORE_REPLAYS_MAX = 4
export const FEED_STORE_PAGE_TICKS = 16_384
export const FEED_STORE_PAGE_MS_MAX = 10_000
/** The `latest` channel and the image after conflation: newest values are sent this often. */
export const FEED_LATEST_MS = 50
/** Levels of a side of a book: more than venues' images have. The worst beyond them go. */
export const FEED_BOOK_LEVELS_MAX = 8192
/** All books together; where it is used up, they give up their worst levels. */
export const FEED_BOOKS_BYTES_MAX = 256 * MIB
/** Channels book.1 … book.50: levels of a side. */
export const FEED_BOOK_DEPTH_MAX = 50
/** A socket's hard limit beyond subscriber_buffer_bytes: the largest frame and some control. */
export const FEED_BUFFER_SLACK_BYTES = 16 * MIB

/** Threads that serve: each reads every record, so more of them than cores bring nothing. */
export const SERVE_THREADS_MAX = 16

/** API keys in one file, and its size. */
export const KEYS_MAX = 10_000
export const KEYS_FILE_BYTES_MAX = 16 * MIB
/** Longest token, key or JSON Web Token: what proxies take as a header. */
export const TOKEN_LENGTH_MAX = 8 * KIB
/** Files of keys and certificates are looked at for changes this often; so is what has expired. */
export const ACCESS_CHECK_MS = 1000
/** Feed connections that have not yet sent their token. */
export const FEED_PENDING_MAX = 1024
/** Holders of keys or tokens that are known at once: connected, or seen a moment ago. */
export const HOLDERS_MAX = 20_000
/** Addresses whose connections and failures are counted; the longest unseen are forgotten. */
export const ADDRESSES_MAX = 20_000
/** Tokens that one address may get wrong at once, and a second: a check of a signature costs. */
export const TOKEN_FAILURES_BURST = 20
export const TOKEN_FAILURES_PER_SECOND = 1
/** Seconds of its rate that a holder may use at once. */
export const RATE_BURST_SECONDS = 10
/** The same decision on access again within this time is counted, and written as one line. */
export const AUDIT_REPEAT_MS = 60_000
/** Different decisions within that time, and text that waits for the disk; beyond it: counted. */
export const AUDIT_DECISIONS_MAX = 2000
export const AUDIT_BUFFER_LENGTH_MAX = 512 * KIB
/** A JWKS address: how long its keys are taken for new, and how long an answer may take. */
export const JWKS_AGE_MS_MAX = 600_000
export const JWKS_ANSWER_MS_MAX = 5000

/** Id of a pushed batch, characters. */
export const BATCH_ID_LENGTH_MAX = 255
/** TCP push: largest batch that is acknowledged; one frame, and fewer ticks than a batch holds. */
export const TCP_BATCH_BYTES_MAX = FRAME_BYTES_MAX / 2
/** As above, batches of a connection without an acknowledgement; then its socket waits. */
export const TCP_BATCHES_MAX = 256
/** As above, batches of all connections of a source. */
export const TCP_SOURCE_BATCHES_MAX = RECEIPTS_OUTSTANDING_MAX / 2
/** Acknowledgements that a client has not read: beyond it nothing more is taken from it. */
export const TCP_ACK_BUFFER_BYTES = 64 * KIB
/** POST /v1/ticks: bodies of the largest size held at once; beyond it 503. */
export const PUSH_BODIES_MAX = 4
/** As above, requests of any size. */
export const PUSH_REQUESTS_MAX = 64
/** Frames of POST bodies on the ring without a receipt: leaves room for every receipt. */
export const PUSH_FRAMES_OUTSTANDING_MAX = RECEIPTS_OUTSTANDING_MAX / 2
/** A POST that cannot put a byte on the frame ring for so long is refused. */
export const PUSH_STALL_MS_MAX = 5000
/** A POST whose records are not known to be durable after so long is answered with 504. */
export const PUSH_DURABLE_MS_MAX = 30_000
/** HTTP history: queries at once (a connection each), the longest, and the default time range. */
export const HISTORY_QUERIES_MAX = 4
export const HISTORY_QUERY_MS_MAX = 10_000
export const HISTORY_RANGE_MS = 3_600_000
/** Rows of an HTTP answer when the client does not say. */
export const HTTP_ROWS = 100

/** A file of the ledger's book, and minutes that wait in memory while the disk refuses them. */
export const LEDGER_FILE_BYTES = 4 * MIB
export const LEDGER_LINES_WAITING_MAX = 120
/** Lines in one answer of GET /v1/ledger: a day of minutes, with its starts. */
export const LEDGER_ANSWER_LINES_MAX = 1500
/** Imbalances told of at once: with more, the first ones say enough. */
export const LEDGER_IMBALANCES_MAX = 100
/** Subscribers listed in one answer of GET /v1/ledger. */
export const LEDGER_SUBSCRIBERS_MAX = 1000

/** Incidents kept, their file, and the evidence of one as JSON text. */
export const INCIDENTS_MAX = 500
export const INCIDENT_FILE_BYTES_MAX = 4 * MIB
export const INCIDENT_EVIDENCE_LENGTH_MAX = 8 * KIB
/** The same incident again within this time is counted, and not written. */
export const INCIDENT_REPEAT_MS = 60_000

/** Questions of one thread to main at once, and how long each may wait. */
export const QUESTIONS_MAX = 64
export const QUESTION_MS_MAX = 5000
/** Main waits so long for what serve threads tell of their subscribers: one may stand still. */
export const ROLL_CALL_MS_MAX = 1000

/** Connections of the admin listener at once. */
export const ADMIN_CONNECTIONS_MAX = 64
/** A profile's longest time: at a stack a millisecond its text is about 3 MB. */
export const PROFILE_SECONDS_MAX = 120
/** Events kept of one trace, about 200 bytes each as text; further ones are counted. */
export const PROFILE_TRACE_EVENTS_MAX = 500_000
/** A thread answers its inspector between two JavaScript instructions: within its longest fsync. */
export const INSPECTOR_ANSWER_MS_MAX = 15_000

/**
 * Deaths of one thread within this time, after which the daemon gives up: a poison frame is two.
 */
export const THREAD_DEATHS_MAX = 10
export const THREAD_DEATHS_MS = 300_000
/** A thread that was told to end and has not, after so long, is in a system call or native code. */
export const THREAD_END_MS_MAX = 30_000
/** Young generation of a thread: what a busy thread was seen to use, and V8's own default. */
export const THREAD_YOUNG_HEAP_BYTES = 48 * MIB

/**
 * Time slices of threads that ticks pass on their way to subscribers: one that wakes runs before
 * stores and databases have used up theirs, which are some 3 ms long. The shortest there are.
 */
export const LIVE_SLICE_US = 100

/** systemd is told the status, where it changed, this often. */
export const SD_STATUS_MS = 5000

/** Threads of one daemon beside main. */
export const THREADS_MAX = 64
/** Agents of one daemon. */
export const AGENTS_MAX = 256

assert(ROLL_CALL_MS_MAX < QUESTION_MS_MAX, 'who is asked for it waits longer than main does')
assert(FRAME_BYTES_MAX * 4 <= FRAME_RING_BYTES, 'a frame ring holds four of the largest frames')
assert(FRAME_CHUNK_BYTES < FRAME_BYTES_MAX, 'a chunk is smaller than the largest frame')
assert(
  RECEIPTS_OUTSTANDING_MAX * 80 <= FEEDBACK_RING_BYTES,
  'all outstanding receipts fit in the feedback ring',
)
assert(BATCH_TICKS_MAX * 2 <= TICK_RING_TICKS, 'a tick ring holds two of the largest batches')
assert((TICK_RING_TICKS & (TICK_RING_TICKS - 1)) === 0, 'a tick ring is a power of two')
assert(
  BATCH_TICKS_MAX + GROUP_TICKS <= TICK_RING_TICKS / 2,
  'a group of frames fits in half a tick ring',
)
assert(JOURNAL_BLOCK_TICKS_MAX <= TICK_RING_TICKS, 'a journal block fits in the ring')
