// Dead letters on a real disk: what is kept, what is cut, what is discarded, what a crash leaves.

import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { QUARANTINE_REASONS, REJECT_REASONS } from '../../../src/ledger/reasons.ts'
import { MIB } from '../../../src/limits.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { type Log, silentLog } from '../../../src/ops/log.ts'
import type { FrameMeta } from '../../../src/ring/frame-ring.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { KIND, SIDE, TICK_BYTES, WORD } from '../../../src/tick/layout.ts'
import {
  LETTER_HEADER_BYTES,
  letterFileName,
  letterSize,
} from '../../../src/validate/dead-letter-format.ts'
import { type DeadLetter, readDeadLetters } from '../../../src/validate/dead-letter-reader.ts'
import { DeadLetterStore } from '../../../src/validate/dead-letters.ts'

const BAD_JSON = REJECT_REASONS.indexOf('bad_json')
const SOURCES = ['zero', 'one', 'push', 'three', 'four', 'five']
/** Of an entry whose message has so many bytes, of source 2. */
const sizeOf = (bytes: number) => letterSize('push'.length + bytes)
const CROSSED = QUARANTINE_REASONS.indexOf('crossed_quote')
const encoder = new TextEncoder()
const text = (letter: DeadLetter | undefined) => new TextDecoder().decode(letter?.bytes)

function metaOf(source = 2): FrameMeta {
  return { source, format: 3, flags: 0, token: 0, recvSec: 3_000_000_000, recvNsec: 123_456_789 }
}

function createRig(t: Test, config: { bytes_max?: number; letter_bytes_max?: number } = {}) {
  const root = mkdtempSync(path.join(tmpdir(), 'tickd-letters-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const directory = path.join(root, 'shard-0')
  const counters = new CounterSet(counterNames('dead_letters'))
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (_fields, message) => errors.push(message) }
  const options = { bytes_max: 64 * MIB, letter_bytes_max: 65_536, ...config }
  const open = () =>
    new DeadLetterStore({ directory, config: options, sources: SOURCES, counters, log })
  const add = (store: DeadLetterStore, message: string, source = 2) => {
    const bytes = encoder.encode(message)
    store.addMessage(BAD_JSON, metaOf(source), bytes, 0, bytes.length)
  }
  const read = () => [...readDeadLetters(directory)]
  const files = () =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.letters'))
      .sort()
  return { root, directory, counters, errors, open, add, read, files }
}

t.test('a message is read back as it was given, among others', async (t) => {
  const { directory, open, read, counters } = createRig(t)
  const store = open()
  const bytes = encoder.encode('xx{"a":1}yy')
  store.addMessage(BAD_JSON, metaOf(65_535), bytes, 2, 9)
  store.addMessage(BAD_JSON, metaOf(), bytes, 0, 0)
  t.equal(store.bufferedCount, 2)
  t.same(read(), [], 'gathered, not written')
  store.flush()
  t.equal(store.bufferedCount, 0)
  const [first, empty] = read()
  t.match(first, {
    file: path.join(directory, letterFileName(1)),
    offset: 0,
    reason: 'bad_json',
    source: 65_535,
    format: 3,
    instrument: 0,
    recvNs: 3_000_000_000_123_456_789n,
    record: undefined,
    cutBytes: 0,
  })
  t.equal(text(first), '{"a":1}')
  t.equal(text(empty), '')
  t.equal(counters.get('letters'), 2)
  t.equal(counters.get('bytes'), statSync(path.join(directory, letterFileName(1))).size)
  store.close()
})

t.test('a record comes with its tick, its instrument and its own reason list', async (t) => {
  const { open, read } = createRig(t)
  const batch = new TickBatch(2)
  batch.setKindSide(1, KIND.quote, SIDE.none)
  batch.setInstrument(1, 4_000_000_000)
  batch.setSource(1, 9)
  new BigInt64Array(batch.bytes.buffer)[TICK_BYTES / 8 + WORD.ts_recv / 2] = 77n
  const store = open()
  store.addRecord(CROSSED, 1, batch, 1, encoder.encode('abcdef'), 1, 4)
  store.close()
  const [letter] = read()
  t.match(letter, { reason: 'crossed_quote', source: 9, format: 1, recvNs: 77n, cutBytes: 0 })
  t.equal(letter?.instrument, 4_000_000_000)
  t.same(letter?.record, Buffer.from(batch.bytes.slice(TICK_BYTES)))
  t.equal(text(letter), 'bcd')
})

t.test('long letters are cut and say by how much', async (t) => {
  const { open, add, read } = createRig(t, { letter_bytes_max: 100 })
  const store = open()
  add(store, 'a'.repeat(100))
  add(store, 'b'.repeat(101))
  const batch = new TickBatch(1)
  store.addRecord(CROSSED, 1, batch, 0, encoder.encode('c'.repeat(150)), 0, 150)
  store.close()
  const letters = read()
  t.same(
    letters.map(({ cutBytes }) => cutBytes),
    [0, 1, 50],
  )
  t.same(
    letters.map(({ bytes }) => bytes.length),
    [100, 100, 100],
  )
})

t.test('a letter that the budget could not hold is cut to fit', async (t) => {
  const { open, add, read, directory, files } = createRig(t, {
    bytes_max: MIB,
    letter_bytes_max: MIB,
  })
  const store = open()
  for (let i = 0; i < 20; i++) add(store, String(i % 10).repeat(MIB))
  store.close()
  const letters = read()
  t.ok(letters.length >= 7, `${letters.length} letters`)
  for (const { bytes, cutBytes } of letters) t.equal(bytes.length + cutBytes, MIB)
  const total = files().reduce((n, file) => n + statSync(path.join(directory, file)).size, 0)
  t.ok(total <= MIB, `${total} bytes`)
})

t.test('letters are written in large pieces, not one by one', async (t) => {
  const { open, add, read, counters } = createRig(t)
  const store = open()
  const count = 10_000
  for (let i = 0; i < count; i++) add(store, `letter ${i}`)
  const written = read().length
  t.ok(written > 0 && written < count, `${written} on disk before the flush`)
  store.flush()
  t.same(
    read().map(text),
    Array.from({ length: count }, (_, i) => `letter ${i}`),
  )
  t.equal(counters.get('letters'), count)
})

t.test('beyond the budget the oldest files go, and their letters are counted', async (t) => {
  const { open, add, read, counters, directory, files } = createRig(t, { bytes_max: MIB })
  const count = 3000
  for (let run = 0; run < 3; run++) {
    const store = open()
    for (let i = 0; i < count; i++) add(store, `${run} ${i} ${'x'.repeat(900)}`)
    store.close()
    const total = files().reduce((n, file) => n + statSync(path.join(directory, file)).size, 0)
    t.ok(total <= MIB, `${total} bytes in ${files().length} files`)
  }
  const kept = read()
  t.equal(counters.get('letters'), 3 * count)
  t.equal(kept.length + counters.get('letters_discarded'), 3 * count, 'none unaccounted for')
  t.match(text(kept.at(-1)), /^2 2999 /, 'the newest are kept')
  t.ok(kept.length > 500, 'and most of the budget is used')
})

t.test('a store goes on in the last file of its predecessor, and cuts what was torn', async (t) => {
  const { open, add, read, directory, files } = createRig(t)
  const first = open()
  add(first, 'one')
  add(first, 'two')
  first.close()
  const file = path.join(directory, letterFileName(1))
  truncateSync(file, statSync(file).size - 3)
  t.same(read().map(text), ['one'], 'the reader stops short of the torn one')
  const second = open()
  add(second, 'three')
  second.close()
  t.same(read().map(text), ['one', 'three'])
  t.same(files(), [letterFileName(1)])
})

t.test('a store that goes on in a damaged file cuts nothing but its torn end', async (t) => {
  const { open, add, read, directory } = createRig(t)
  const first = open()
  for (const word of ['one', 'two', 'three', 'torn']) add(first, word)
  first.close()
  const file = path.join(directory, letterFileName(1))
  const bytes = readFileSync(file)
  bytes[sizeOf(3) + LETTER_HEADER_BYTES] = 0
  writeFileSync(file, bytes.subarray(0, -1))
  const second = open()
  add(second, 'four')
  second.close()
  t.same(read().map(text), ['one', 'three', 'four'])
})

t.test('the reader goes on behind damage', async (t) => {
  const { open, add, read, directory } = createRig(t)
  const store = open()
  for (const word of ['one', 'two', 'three']) add(store, word)
  store.close()
  const file = path.join(directory, letterFileName(1))
  const bytes = readFileSync(file)
  const second = sizeOf(3)
  for (const at of [0, 5, 8, 30, LETTER_HEADER_BYTES]) {
    const damaged = Buffer.from(bytes)
    damaged[second + at] = (damaged[second + at] as number) ^ 0x40
    writeFileSync(file, damaged)
    t.same(read().map(text), ['one', 'three'], `byte ${at} of the entry`)
  }
})

t.test('every cut of a file reads as the whole entries before it', async (t) => {
  const { open, add, read, directory } = createRig(t)
  const store = open()
  for (const word of ['a', 'bb', 'c'.repeat(20)]) add(store, word)
  store.close()
  const file = path.join(directory, letterFileName(1))
  const whole = readFileSync(file)
  const ends = [sizeOf(1), sizeOf(1) + sizeOf(2), whole.length]
  for (let size = 0; size <= whole.length; size++) {
    writeFileSync(file, whole.subarray(0, size))
    const wanted = ends.filter((end) => end <= size).length
    if (read().length !== wanted) t.fail(`${size} bytes: ${read().length} letters, not ${wanted}`)
  }
  t.equal(read().length, 3)
})

t.test('a disk that refuses is counted, said once, and used again when it is mended', async (t) => {
  const { root, directory, open, add, read, counters, errors } = createRig(t)
  writeFileSync(directory, 'a file where the directory should be')
  const store = open()
  for (let i = 0; i < 3; i++) {
    add(store, 'lost')
    store.flush()
  }
  t.equal(counters.get('write_failures'), 3)
  t.equal(counters.get('letters'), 0)
  t.equal(errors.length, 1)
  rmSync(directory)
  add(store, 'kept')
  store.close()
  t.same(read().map(text), ['kept'])
  t.equal(counters.get('letters'), 1)
  rmSync(directory, { recursive: true })
  writeFileSync(directory, '')
  t.doesNotThrow(() => open().close(), 'nothing to write, nothing to fail')
  t.ok(statSync(root).isDirectory())
})

t.test(
  'shards are read one after the other; strangers in the directory are left alone',
  async (t) => {
    const { root, open, add } = createRig(t)
    const store = open()
    add(store, 'zero')
    store.close()
    const eleventh = new DeadLetterStore({
      directory: path.join(root, 'shard-10'),
      config: { bytes_max: MIB, letter_bytes_max: 100 },
      sources: SOURCES,
      counters: new CounterSet(counterNames('dead_letters')),
      log: silentLog,
    })
    add(eleventh, 'ten', 5)
    eleventh.close()
    const second = path.join(root, 'shard-2')
    mkdirSync(second)
    copyFileSync(
      path.join(root, 'shard-0', letterFileName(1)),
      path.join(second, letterFileName(1)),
    )
    mkdirSync(path.join(root, 'lost+found'))
    appendFileSync(path.join(root, 'shard-0', 'notes.txt'), 'hello')
    t.same([...readDeadLetters(root)].map(text), ['zero', 'zero', 'ten'])
    t.same([...readDeadLetters(root, { sources: ['five'] })].map(text), ['ten'])
    t.same([...readDeadLetters(path.join(root, 'nowhere'))], [])
  },
)

t.test('a filter chooses by reason, source, instrument and time', async (t) => {
  const { open, add, directory } = createRig(t)
  const store = open()
  add(store, 'message')
  const batch = new TickBatch(1)
  batch.setInstrument(0, 8)
  store.addRecord(CROSSED, 1, batch, 0, encoder.encode('record'), 0, 6)
  store.close()
  const choose = (filter: Parameters<typeof readDeadLetters>[1]) =>
    [...readDeadLetters(directory, filter)].map(text)
  t.same(choose({ reasons: ['bad_json'] }), ['message'])
  t.same(choose({ reasons: ['crossed_quote', 'bad_json'] }), ['message', 'record'])
  t.same(choose({ instruments: [8] }), ['record'])
  t.same(choose({ fromNs: 1n }), ['message'])
  t.same(choose({ untilNs: 1n }), ['record'])
  t.same(choose({ untilNs: 0n }), [])
  t.same(choose({ sources: ['push'], reasons: ['crossed_quote'] }), [])
})
