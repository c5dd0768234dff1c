// The configuration: one strict schema. Unknown keys are errors; every option has a default (but a
// source's name and type), bounds, and a sentence. Units are in the names: _ms, _bytes, _count.
//
// docs/config.md is generated from this file (`npm run generate`), and a test compares them.

import { z } from 'zod'
import {
  FRAME_CHUNK_BYTES,
  JOURNAL_BLOCK_TICKS_MAX,
  KIB,
  MIB,
  SERVE_THREADS_MAX,
  SHARDS_MAX,
} from '../limits.ts'
import { access } from './schema-access.ts'
import { hostname, int } from './schema-parts.ts'
import { redis } from './schema-redis.ts'

const listen = (port: number) =>
  z
    .strictObject({
      host: hostname.default('127.0.0.1').describe('Address to bind.'),
      port: int(0, 65535).default(port).describe('TCP port; 0 = any free one.'),
      insecure: z
        .boolean()
        .default(false)
        .describe('Listen beyond this machine without keys and TLS; see docs/access.md.'),
    })
    .prefault({})

const sourceName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a-z, 0-9 and -, at most 32, beginning with a letter')
  .describe('Name of the source in logs, metrics and the ledger; unique.')
const shard = int(0, SHARDS_MAX - 1)
  .default(0)
  .describe('Shard that decodes and journals it.')

const synthetic = z.strictObject({
  name: sourceName,
  type: z.literal('synthetic').describe('Seeded random walk: always on, no network.'),
  shard,
  venue: z.string().min(1).max(32).default('synthetic').describe('Venue of the instruments.'),
  rate: int(1, 1_000_000).default(1000).describe('Ticks per second.'),
  seed: int(0, 2 ** 32 - 1)
    .default(1)
    .describe('Seed: the same seed gives the same prices.'),
  symbols: z
    .array(z.string().min(1).max(48))
    .min(1)
    .max(1000)
    .default(['BTC-USD', 'ETH-USD', 'SOL-USD', 'EUR-USD', 'PJM.WEST'])
    .describe('Instruments.'),
})

const binance = z.strictObject({
  name: sourceName,
  type: z.literal('binance').describe('Binance spot WebSocket streams.'),
  shard,
  venue: z
    .enum(['binance-us', 'binance', 'binance-usdm'])
    .default('binance-us')
    .describe('Which exchange; sets the default endpoints.'),
  endpoints: z
    .array(z.string().regex(/^wss?:\/\//, 'must be a ws:// or wss:// address'))
    .max(16)
    .default([])
    .describe('WebSocket base addresses, tried in turn. Empty = the venue’s own.'),
  rest_endpoint: z
    .string()
    .regex(/^(https?:\/\/.*)?$/, 'must be an http:// or https:// address')
    .default('')
    .describe('REST base address for book snapshots. Empty = the venue’s own.'),
  symbols: z
    .array(z.string().min(2).max(32))
    .min(1)
    .max(500)
    .describe('Canonical or venue symbols: BTC-USDT or BTCUSDT.'),
  streams: z
    .array(z.enum(['trade', 'aggTrade', 'bookTicker', 'depth']))
    .min(1)
    .default(['trade', 'bookTicker', 'depth'])
    .describe('Streams to subscribe per symbol.'),
  silence_ms: int(1000, 600_000)
    .default(30_000)
    .describe('Reopen a connection on which no frame (data or ping) came for so long.'),
  backoff_min_ms: int(10, 60_000).default(500).describe('First wait after a failed connection.'),
  backoff_max_ms: int(100, 600_000).default(30_000).describe('Longest wait between attempts.'),
  rotate_ms: int(1000, 86_400_000)
    .default(82_800_000)
    .describe('Replace a connection at this age, before the venue cuts it at 24 h.'),
  snapshot_limit: int(5, 5000).default(1000).describe('Levels a side of a book snapshot.'),
})

const replay = z.strictObject({
  name: sourceName,
  type: z.literal('replay').describe('Capture files, played once.'),
  shard,
  venue: z.string().min(1).max(32).describe('Venue whose decoder the frames need.'),
  format: z
    .enum(['tickd', 'cryptofeed', 'ns-line', 'raw'])
    .default('tickd')
    .describe('Capture format.'),
  paths: z.array(z.string().min(1)).min(1).describe('Files, in order; .zst and .gz are unpacked.'),
  speed: z
    .union([z.literal('max'), z.number().positive().max(1_000_000)])
    .default('max')
    .describe('max, or a multiple of the recorded pace.'),
})

const tcp = z.strictObject({
  name: sourceName,
  type: z.literal('tcp').describe('Push listener: back-pressure is TCP’s.'),
  shard,
  format: z
    .enum(['ndjson', 'packed'])
    .default('ndjson')
    .describe(
      'ndjson = normalised records, one a line; packed = u32 LE length, then 64-byte ticks.',
    ),
  listen: listen(8101).describe('Address of the listener.'),
  connections_max: int(1, 10_000).default(64).describe('Connections at once; more are refused.'),
  chunk_bytes: int(4 * KIB, 512 * KIB)
    .default(FRAME_CHUNK_BYTES)
    .describe('Lines are passed on in chunks of at most this size.'),
})

const http = z.strictObject({
  name: sourceName,
  type: z.literal('http').describe('POST /v1/ticks on the HTTP listener.'),
  shard,
})

export const sourceSchema = z.discriminatedUnion('type', [synthetic, binance, replay, tcp, http])

const journal = z
  .strictObject({
    segment_bytes: int(64 * KIB, 1024 * MIB)
      .default(128 * MIB)
      .describe('A segment is closed at this size.'),
    sync_interval_ms: int(0, 1000)
      .default(5)
      .describe('Longest time a record waits for its fsync; 0 = fsync each batch.'),
    sync_bytes: int(4 * KIB, 256 * MIB)
      .default(4 * MIB)
      .describe('fsync earlier when so much is unsynced.'),
    block_ticks: int(1, JOURNAL_BLOCK_TICKS_MAX)
      .default(JOURNAL_BLOCK_TICKS_MAX)
      .describe('Most records under one checksum.'),
    retain_ms: int(0, 365 * 86_400_000)
      .default(24 * 3_600_000)
      .describe(
        'Keep closed segments at least so long. Never removed before the stores have read.',
      ),
    retain_bytes: int(MIB, 2 ** 50)
      .default(20 * 1024 * MIB)
      .describe('Remove older segments, once stored, beyond this size.'),
    batch_ids: int(1024, 2 ** 22)
      .default(65_536)
      .describe('Pushed batches remembered a shard, 76 bytes each: tried again, they are known.'),
    bytes_max: int(MIB, 2 ** 50)
      .default(200 * 1024 * MIB)
      .describe(
        'Most bytes of a shard’s segments, stored or not: then ingest is held back. ' +
          'At least retain_bytes and three times segment_bytes.',
      ),
    free_bytes_min: int(0, 2 ** 50)
      .default(256 * MIB)
      .describe('Hold ingest back while the file system has less room than this. 0 = never.'),
  })
  .refine(({ retain_bytes, bytes_max }) => bytes_max >= retain_bytes, {
    path: ['bytes_max'],
    error: 'must be at least retain_bytes: retention would never get its turn',
  })
  // The open segment and the newest closed one always stay.
  .refine(({ segment_bytes, bytes_max }) => bytes_max >= 3 * segment_bytes, {
    path: ['bytes_max'],
    error: 'must be at least three times segment_bytes: two segments are always kept',
  })
  .prefault({})

const postgres = z
  .strictObject({
    mode: z
      .enum(['embedded', 'external', 'off'])
      .default('embedded')
      .describe('embedded = a private server in the state directory.'),
    url: z
      .string()
      .default('')
      .describe('external: postgresql://user@host:port,host2:port2/database; see docs/sql.md.'),
    password_file: z.string().default('').describe('File with the password (external).'),
    port: int(0, 65535).default(0).describe('embedded: TCP port on loopback; 0 = any free one.'),
    schema: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,30}$/, 'must be a plain lower-case SQL name')
      .default('tickd')
      .describe('Schema of all tables and views.'),
    batch_rows: int(1, 1_000_000).default(131_072).describe('Most rows in a transaction.'),
    batch_ms: int(1, 60_000).default(100).describe('Longest wait for a batch to fill.'),
    copy_buffer_bytes: int(16 * KIB, 16 * MIB)
      .default(512 * KIB)
      .describe('COPY data is sent in pieces of this size.'),
    partition_days_ahead: int(0, 30).default(2).describe('Daily partitions made in advance.'),
    synchronous_commit: z
      .boolean()
      .default(false)
      .describe(
        'Wait for PostgreSQL’s own fsync. Not needed: the journal holds what a crash loses.',
      ),
    connect_timeout_ms: int(100, 600_000).default(10_000).describe('Wait for a connection.'),
  })
  .prefault({})

const serve = z
  .strictObject({
    listen: listen(8080).describe('HTTP and WebSocket listener.'),
    threads: int(1, SERVE_THREADS_MAX)
      .default(1)
      .describe(
        'Threads that serve, on one port; each beyond the first does nothing else. >1: Linux only.',
      ),
    tls: z
      .strictObject({
        cert_file: z.string().default('').describe('PEM file of the chain, leaf first.'),
        key_file: z.string().default('').describe('PEM file of the private key.'),
      })
      .prefault({})
      .describe('TLS of this listener; both files or none. Taken anew when they change.'),
    flush_ms: int(0, 1000).default(0).describe('Gather ticks so long before a frame; 0 = at once.'),
    frame_ticks: int(1, 16_384).default(1024).describe('Most ticks in a feed frame.'),
    subscriber_buffer_bytes: int(64 * KIB, 256 * MIB)
      .default(4 * MIB)
      .describe('Most bytes queued for one subscriber; beyond it the slow policy applies.'),
    subscriber_age_ms: int(0, 3_600_000)
      .default(10_000)
      .describe('Longest that anything is queued for one subscriber; as above. 0 = no limit.'),
    subscribers_max: int(1, 100_000).default(10_000).describe('Subscribers at once.'),
    subscriptions_max: int(1, 10_000).default(256).describe('Subscriptions of one subscriber.'),
    heartbeat_ms: int(100, 60_000).default(1000).describe('Heartbeat of an idle stream.'),
    body_bytes_max: int(KIB, 256 * MIB)
      .default(16 * MIB)
      .describe('Largest POST body.'),
    query_rows_max: int(1, 1_000_000).default(10_000).describe('Most rows of one HTTP answer.'),
  })
  .prefault({})

const admin = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Profiles over HTTP; nothing is paid until asked.'),
    listen: listen(8079).describe('Address of its own. It has no accounts: keep it on loopback.'),
  })
  .prefault({})

const validate = z
  .strictObject({
    price_max: z
      .number()
      .positive()
      .max(9_223_372_036)
      .default(9_223_372_036)
      .describe('Quarantine prices above this, or below its negative.'),
    future_ms: int(0, 86_400_000)
      .default(60_000)
      .describe('Quarantine events further ahead of receipt than this (replays are exempt).'),
    late_ms: int(0, 31_536_000_000)
      .default(10_000)
      .describe('Flag events older than this at receipt as LATE.'),
    duplicate_window: int(0, 1_000_000)
      .default(4096)
      .describe('Trade ids remembered per instrument to drop repeats; 0 = off.'),
  })
  .prefault({})

const deadLetters = z
  .strictObject({
    bytes_max: int(MIB, 1024 * 1024 * MIB)
      .default(64 * MIB)
      .describe(
        'Disk budget of each writer (decode and the database’s, a shard); the oldest letters are ' +
          'discarded, and counted, beyond it.',
      ),
    letter_bytes_max: int(64, MIB)
      .default(64 * KIB)
      .describe('Raw bytes kept of one letter; longer ones are cut, and say so.'),
  })
  .prefault({})

const ledger = z
  .strictObject({
    retain_days: int(1, 3650)
      .default(31)
      .describe('Files of closed minutes older than this are removed.'),
    retain_bytes: int(16 * MIB, 2 ** 40)
      .default(256 * MIB)
      .describe('Disk budget; the oldest minutes are removed beyond it.'),
  })
  .prefault({})

const capture = z
  .strictObject({
    enabled: z.boolean().default(false).describe('Record raw what sources receive and send.'),
    directory: z.string().default('').describe('Where; empty = capture/ in the state directory.'),
    file_bytes: int(MIB, 1024 * MIB)
      .default(256 * MIB)
      .describe('A new file at this size.'),
    bytes_max: int(MIB, 2 ** 50)
      .default(4096 * MIB)
      .describe('Capture stops, loudly, when its files reach this size.'),
  })
  .prefault({})

const supervise = z
  .strictObject({
    hang_ms: int(500, 600_000)
      .default(10_000)
      .describe('A thread that stands still for so long is ended, and made anew.'),
    disk_hang_ms: int(500, 3_600_000)
      .default(60_000)
      .describe('As hang_ms, of agents that wait for the disk; a start has a minute at least.'),
    heap_bytes: int(64 * MIB, 64 * 1024 * MIB)
      .default(1024 * MIB)
      .describe('JavaScript heap of a thread; one that needs more is ended, and made anew.'),
    rss_bytes_max: int(0, 2 ** 46)
      .default(0)
      .describe(
        'Resident memory of the daemon. Beyond it the thread with most is made anew; 0 = off.',
      ),
  })
  .prefault({})

const THREAD_ROLES = ['source', 'decode', 'journal', 'aggregate', 'postgres', 'redis', 'serve']

const threads = z
  .union([
    z.enum(['auto', 'compact', 'dedicated']),
    z.record(
      z.string().regex(/^[a-z][a-z0-9-]{0,15}$/),
      z.array(z.enum(THREAD_ROLES as [string, ...string[]])).min(1),
    ),
  ])
  .default('auto')
  .describe(
    'Which agents share a thread: compact = all on one, dedicated = one each, auto = by cores, ' +
      'or {thread: [roles]} naming each role once.',
  )

export const configSchema = z.strictObject({
  state_dir: z
    .string()
    .default('')
    .describe(
      'Journal, databases, instruments. Empty = $STATE_DIRECTORY, else /var/lib/tickd for root, ' +
        'else ~/.local/state/tickd.',
    ),
  threads,
  shards: int(1, SHARDS_MAX).default(1).describe('Independent decode and journal lanes.'),
  drain_ms: int(100, 600_000).default(8000).describe('Deadline of an ordered stop.'),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least severity.'),
      format: z
        .enum(['auto', 'json', 'text'])
        .default('auto')
        .describe('auto = text on a terminal, JSON lines otherwise.'),
    })
    .prefault({})
    .describe('The daemon’s log.'),
  sources: z
    .array(sourceSchema)
    .min(1)
    .default([
      synthetic.parse({ name: 'synthetic', type: 'synthetic' }),
      tcp.parse({ name: 'push-ndjson', type: 'tcp' }),
      tcp.parse({ name: 'push-packed', type: 'tcp', format: 'packed', listen: { port: 8102 } }),
      http.parse({ name: 'push-http', type: 'http' }),
    ])
    .describe('Where ticks come from.'),
  validate: validate.describe('Rules of acceptance.'),
  dead_letters: deadLetters.describe('Raw bytes of what was refused.'),
  journal: journal.describe('The durable log.'),
  postgres: postgres.describe('The store of history.'),
  redis: redis.describe('The store of latest values.'),
  serve: serve.describe('WebSocket feed and HTTP.'),
  access: access.describe('Who may use them; see docs/access.md.'),
  admin: admin.describe('The listener for profiling; see docs/profiling.md.'),
  ledger: ledger.describe('The ledger of conservation; see docs/ledger.md.'),
  capture: capture.describe('Raw capture of sources.'),
  supervise: supervise.describe('When a thread is taken for stuck or leaking.'),
})

export type Config = z.output<typeof configSchema>
export type SourceConfig = z.output<typeof sourceSchema>
export type SourceConfigOf<Type extends SourceConfig['type']> = Extract<
  SourceConfig,
  { type: Type }
>
