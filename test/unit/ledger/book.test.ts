import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LedgerBook, readBook } from '../../../src/ledger/book.ts'
import type { LedgerLine } from '../../../src/ledger/minute.ts'
import { LEDGER_FILE_BYTES, LEDGER_LINES_WAITING_MAX } from '../../../src/limits.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { silentLog } from '../../../src/ops/log.ts'

const ALL = { isWanted: () => true, linesMax: 1_000_000 }

function rig(t: Test, retainBytes = 2 ** 30) {
  const directory = join(mkdtempSync(join(tmpdir(), 'tickd-book-')), 'ledger')
  t.teardown(() => rmSync(join(directory, '..'), { recursive: true, force: true }))
  const counters = new CounterSet(counterNames('ledger'))
  const book = new LedgerBook({ directory, retainDays: 31, retainBytes, log: silentLog, counters })
  return { directory, counters, book, file: join(directory, '000001.jsonl') }
}

/** `padding`: makes the line longer. */
function line(epoch: number, padding = ''): LedgerLine {
  return { type: 'start', epoch, at: `2026-11-20T21:35:00.000000000Z${padding}`, shards: [] }
}

function epochs(directory: string): number[] {
  return readBook(directory, ALL).lines.map(({ epoch }) => epoch)
}

t.test('what was appended is read, in order, by the daemon and beside it', async (t) => {
  const { book, directory } = rig(t)
  t.equal(book.open(), undefined, 'a new book has no last line')
  book.append([line(1), line(2)], Date.now())
  book.append([line(3)], Date.now())
  t.same(epochs(directory), [1, 2, 3])
  t.same(book.read(({ epoch }) => epoch > 1, 10).lines, [line(2), line(3)])
  t.same(book.open(), line(3))
})

t.test('a torn last line is passed over by readers, and cut off by the daemon', async (t) => {
  const { book, directory, file } = rig(t)
  book.open()
  book.append([line(1), line(2)], Date.now())
  const { size } = statSync(file)
  for (const cutBytes of [1, 5, 20, 60]) {
    truncateSync(file, size - cutBytes)
    const part = readBook(directory, ALL)
    t.same(part.lines, [line(1)], `${cutBytes} bytes short`)
    t.equal(part.damaged, 0, 'which is no damage')
    t.same(book.open(), line(1))
    book.append([line(2)], Date.now())
    t.same(epochs(directory), [1, 2], 'and it goes on behind the last whole one')
    t.equal(statSync(file).size, size)
  }
})

t.test('a line that its checksum does not cover is counted, and not read', async (t) => {
  const { book, directory, file, counters } = rig(t)
  book.open()
  book.append([line(1), line(2), line(3)], Date.now())
  const bytes = readFileSync(file)
  const middle = bytes.indexOf('"epoch":2') + '"epoch":'.length
  bytes[middle] = (bytes[middle] as number) ^ 1
  writeFileSync(file, bytes)
  const part = readBook(directory, ALL)
  t.same(part.lines, [line(1), line(3)])
  t.equal(part.damaged, 1)
  book.open()
  t.equal(counters.get('lines_damaged'), 1)
  appendFileSync(file, 'not a line at all\n')
  t.equal(readBook(directory, ALL).damaged, 2)
})

t.test('files are rolled by size, and the oldest removed beyond the budget', async (t) => {
  const { book, directory, counters } = rig(t, 3 * LEDGER_FILE_BYTES)
  book.open()
  const padding = 'x'.repeat(LEDGER_FILE_BYTES / 4)
  for (let epoch = 1; epoch <= 40; epoch++) book.append([line(epoch, padding)], Date.now())
  const names = readdirSync(directory).sort()
  t.ok(names.length <= 4, `${names.join(', ')}`)
  t.ok(counters.get('bytes') <= 3 * LEDGER_FILE_BYTES, 'within the budget')
  t.equal(epochs(directory).at(-1), 40, 'the newest are kept')
  t.equal(book.open()?.epoch, 40, 'and found at the next start')
  book.append([line(41)], Date.now() + 365 * 86_400_000)
  t.equal(readdirSync(directory).length, 1, 'and what is too old goes whatever its size')
})

t.test('reading goes back only as far as it must, and says when there is more', async (t) => {
  const { book, directory } = rig(t)
  book.open()
  for (let epoch = 1; epoch <= 10; epoch++) book.append([line(epoch)], Date.now())
  const few = readBook(directory, { isWanted: () => true, linesMax: 3 })
  t.same(
    few.lines.map(({ epoch }) => epoch),
    [8, 9, 10],
  )
  t.equal(few.more, true)
  const all = readBook(directory, ALL)
  t.equal(all.lines.length, 10)
  t.equal(all.more, false)
  t.equal(readBook(join(directory, 'nowhere'), ALL).lines.length, 0, 'no directory, no lines')
})

t.test('what the disk refuses waits in memory, bounded, and is written later', async (t) => {
  const { book, directory, counters } = rig(t)
  book.open()
  rmSync(directory, { recursive: true })
  writeFileSync(directory, 'a file where the directory was')
  for (let epoch = 1; epoch <= LEDGER_LINES_WAITING_MAX + 5; epoch++) {
    book.append([line(epoch)], Date.now())
  }
  t.equal(counters.get('lines_lost'), 5)
  t.ok(counters.get('write_failures') > 0)
  rmSync(directory)
  t.same(epochs(directory), [])
  book.open()
  book.append([], Date.now())
  const written = epochs(directory)
  t.equal(written.length, LEDGER_LINES_WAITING_MAX)
  t.equal(written[0], 6, 'the oldest were given up, and counted')
})
