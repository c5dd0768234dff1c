// The list of dead letters: each once, in order, page by page, with what became of it.

import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { KIB, MIB } from '../../../src/limits.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import type { BookFilter, LetterBook } from '../../../src/validate/dead-letter-book.ts'
import { letterFileName } from '../../../src/validate/dead-letter-format.ts'
import { purgeLetters } from '../../../src/validate/dead-letter-purge.ts'
import {
  listLetters,
  showLetter,
  summarizeLetters,
} from '../../../src/validate/dead-letter-report.ts'
import { LetterRig, metaOf } from '../../support/letters.ts'

const instruments = new InstrumentTable(InstrumentTable.create(16), 16)

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

function texts(book: LetterBook, filter: BookFilter = {}): string[] {
  return [...book.entries(filter)].map(({ letter }) => new TextDecoder().decode(letter.bytes))
}

/** A file of version 1, byte by byte: a bad_json of source 1. */
const VERSION_1 = fromHex(
  '544b444c 09000000 dec381a7 09000000' + // magic, length, crc, full length
    '05002a36fe9c9717 00000000 0100 00 03 00 00000000000000' + // ts_recv … flags, zeroes
    '7b226f6c64223a317d 00000000000000', // {"old":1}
)

t.test('letters of several writers come in order, each with its stage and source', async (t) => {
  const rig = new LetterRig(t)
  for (const series of ['store-0', 'shard-10', 'shard-2']) {
    const store = rig.store(series)
    if (series === 'store-0') rig.addRefused(store, 77, 'SQLSTATE 23514: price_is_low')
    else rig.add(store, series, { source: 1 })
    store.close()
  }
  const { letters } = listLetters(rig.book(), {}, 10, instruments)
  t.same(
    letters.map(({ id, stage, source, reason, preview }) => [id, stage, source, reason, preview]),
    [
      ['shard-2.1.0', 'decode', 'one', 'bad_json', 'shard-2'],
      ['shard-10.1.0', 'decode', 'one', 'bad_json', 'shard-10'],
      ['store-0.1.0', 'store', 'push', 'refused_by_postgres', 'SQLSTATE 23514: price_is_low'],
    ],
  )
  t.same(texts(rig.book(), { stages: ['store'] }), [''])
  t.same(texts(rig.book(), { sources: ['one'], reasons: ['bad_json'] }).length, 2)
})

t.test(
  'a letter that was written twice is one; equal messages of two places are two',
  async (t) => {
    const rig = new LetterRig(t)
    const store = rig.store()
    rig.add(store, 'same', { origin: 1 })
    rig.add(store, 'same', { origin: 2 })
    rig.add(store, 'same', { origin: 1 })
    rig.add(store, 'same', { origin: 1, recvNsec: 6 })
    rig.add(store, 'same', { origin: 1, source: 1 })
    rig.add(store, 'same', { origin: 1, reason: 'bad_field' })
    store.close()
    t.equal(texts(rig.book()).length, 5)
  },
)

t.test('what is settled for one of two is settled for both', async (t) => {
  const rig = new LetterRig(t)
  const store = rig.store()
  rig.add(store, 'twice', { origin: 1 })
  store.flush()
  rig.add(store, 'twice', { origin: 1 })
  store.close()
  const book = rig.book()
  const [first] = [...book.entries({})]
  book.log.append([
    { is: 'done', letter: first?.digest ?? '', id: first?.letter.id ?? '', as: 'recovered' },
  ])
  t.same(texts(book), [])
  t.same(texts(rig.book()), [], 'and after a restart')
  t.same(texts(rig.book(), { states: ['settled'] }), ['twice'])
})

t.test(
  'pages follow each other without a hole, across files, and past files that went',
  async (t) => {
    const rig = new LetterRig(t, MIB)
    const store = rig.store()
    const count = 900
    for (let i = 0; i < count; i++) rig.add(store, `${i} ${'x'.repeat(600)}`)
    store.close()
    const book = rig.book()
    const all = texts(book)
    t.equal(all.length, count)
    const paged: string[] = []
    let after: string | null = null
    do {
      const filter: BookFilter = after === null ? {} : { after }
      const page = listLetters(book, filter, 70, instruments)
      paged.push(...page.letters.map(({ id }) => id))
      after = page.next
    } while (after !== null)
    t.same(
      paged,
      [...book.entries({})].map(({ letter }) => letter.id),
    )
    const gone = 'shard-0.1.0'
    t.equal(purgeLetters(book, { untilNs: 0n }, { ownsAll: false }).purged, 0, 'nothing so old')
    t.same(texts(book, { after: gone }), all.slice(1))
    t.same(texts(book, { after: 'shard-0.99.0' }), [], 'behind the end')
    t.same(texts(book, { after: 'shard-7.1.0' }), [])
    t.throws(() => texts(book, { after: '../../etc/passwd' }), { code: 'USAGE' })
  },
)

t.test('a page that begins behind the first of two still knows the second', async (t) => {
  const rig = new LetterRig(t, MIB)
  const store = rig.store()
  for (let i = 0; i < 3; i++) rig.add(store, 'x'.repeat(40 * KIB), { origin: i })
  rig.add(store, 'twice', { origin: 7 })
  store.flush()
  rig.add(store, 'y'.repeat(40 * KIB), { origin: 8 })
  rig.add(store, 'twice', { origin: 7 })
  rig.add(store, 'last', { origin: 9 })
  store.close()
  const behind = [...rig.book().entries({})].find(({ letter }) => letter.origin === 8)?.letter.id
  t.equal(behind, 'shard-0.2.0', 'in the next file')
  t.same(texts(rig.book(), { after: behind ?? '' }), ['last'])
})

t.test('a letter is found by its id, and nothing else is', async (t) => {
  const rig = new LetterRig(t)
  rig.write('one', 'two')
  const book = rig.book()
  const ids = [...book.entries({})].map(({ letter }) => letter.id)
  for (const id of ids) t.equal(book.find(id)?.letter.id, id)
  for (const id of ['shard-0.1.8', 'shard-0.1.100000', 'shard-0.2.0', 'shard-1.1.0']) {
    t.equal(book.find(id), undefined, id)
  }
  t.throws(() => book.find('shard-0.1'), { code: 'USAGE' })
})

t.test('show has all of it: text where it is text, hex always', async (t) => {
  const rig = new LetterRig(t)
  const store = rig.store()
  rig.add(store, 'grün\n')
  store.addMessage(0, metaOf(), Uint8Array.of(0xff, 0x00, 0x41), 0, 3)
  rig.addRefused(store, 5, 'no')
  store.close()
  const [text, binary, refused] = [...rig.book().entries({})].map((e) => showLetter(e, instruments))
  t.match(text, { text: 'grün\n', hex: '6772c3bc6e0a', record: null, detail: null })
  t.match(binary, { text: null, hex: 'ff0041', preview: '\\xff\\x00A' })
  t.match(refused, { detail: 'no', record: { type: 'trade', id: '5' }, hex: '' })
})

t.test('a summary counts by source, stage and reason', async (t) => {
  const rig = new LetterRig(t)
  const store = rig.store()
  for (let i = 0; i < 3; i++) rig.add(store, 'abcd', { recvSec: 1_700_000_000 + i })
  rig.add(store, 'x', { source: 0, reason: 'bad_field' })
  store.close()
  const { groups, letters, discarded } = summarizeLetters(rig.book(), {})
  t.match(groups, [
    { source: 'push', stage: 'decode', reason: 'bad_json', letters: 3, bytes: 12 },
    { source: 'zero', stage: 'decode', reason: 'bad_field', letters: 1, bytes: 1 },
  ])
  t.equal(groups[0]?.oldest, '2023-11-14T22:13:20.000000005Z')
  t.equal(groups[0]?.newest, '2023-11-14T22:13:22.000000005Z')
  t.same([letters, discarded], [4, 0])
})

t.test('what was discarded for the budget is in every list, also after a restart', async (t) => {
  const rig = new LetterRig(t, MIB)
  for (let run = 0; run < 2; run++) {
    const store = rig.store()
    for (let i = 0; i < 600; i++) rig.add(store, `${i} ${'x'.repeat(2 * KIB)}`)
    store.close()
  }
  const { letters, discarded } = summarizeLetters(rig.book(), {})
  t.ok(discarded > 0)
  t.equal(letters + discarded, 1200)
  t.equal(listLetters(rig.book(), {}, 1, instruments).discarded, discarded)
})

t.test(
  'files of version 1 are read: their letters have no source, and none is a repeat',
  async (t) => {
    const rig = new LetterRig(t)
    rig.write('new')
    const file = path.join(rig.directory, 'shard-0', letterFileName(1))
    const fresh = readFileSync(file)
    writeFileSync(file, Buffer.concat([VERSION_1, VERSION_1, fresh]))
    const letters = listLetters(rig.book(), {}, 10, instruments).letters
    t.same(
      letters.map(({ source, reason, preview }) => [source, reason, preview]),
      [
        [null, 'bad_json', '{"old":1}'],
        [null, 'bad_json', '{"old":1}'],
        ['push', 'bad_json', 'new'],
      ],
    )
  },
)

t.test('purge: whole files go, of others the letters are marked, none comes back', async (t) => {
  const rig = new LetterRig(t, MIB)
  const store = rig.store()
  for (let i = 0; i < 900; i++)
    rig.add(store, `${i} ${'x'.repeat(600)}`, { source: i < 300 ? 1 : 2 })
  const book = rig.book()
  store.flush()
  const result = purgeLetters(book, { sources: ['one'] }, { ownsAll: false })
  t.equal(result.purged, 300)
  t.ok(result.filesRemoved >= 1, `${result.filesRemoved} files`)
  t.equal(texts(rig.book()).length, 600)
  t.equal(purgeLetters(rig.book(), { sources: ['one'] }, { ownsAll: false }).purged, 0)
  // The writer goes on in the file that it has open.
  rig.add(store, 'after')
  store.close()
  t.equal(texts(rig.book()).length, 601)
  t.equal(rig.counters.get('write_failures'), 0)
  const all = purgeLetters(rig.book(), {}, { ownsAll: true })
  t.equal(all.purged, 601)
  t.same(texts(rig.book(), { states: ['open', 'doubt', 'settled'] }), [])
})

t.test(
  'the log: a torn last line is passed over and cut off, a damaged one is counted',
  async (t) => {
    const rig = new LetterRig(t)
    rig.write('one', 'two', 'three')
    const book = rig.book()
    for (const { digest, letter } of [...book.entries({})]) {
      book.log.append([{ is: 'failed', letter: digest, id: letter.id, why: 'bad_json' }])
    }
    book.log.close()
    const file = path.join(rig.directory, 'settled.log')
    truncateSync(file, statSync(file).size - 5)
    const torn = rig.book()
    t.same(
      [...torn.entries({})].map(({ fate }) => fate?.tries),
      [1, 1, undefined],
    )
    const [, , third] = [...torn.entries({})]
    const line = { letter: third?.digest ?? '', id: third?.letter.id ?? '', as: 'ignored' } as const
    torn.log.append([{ is: 'done', ...line }])
    t.equal(rig.book().log.damagedCount, 0, 'what was torn is gone')
    t.same(texts(rig.book()), ['one', 'two'])
    const bytes = readFileSync(file)
    bytes[20] = (bytes[20] as number) ^ 1
    writeFileSync(file, bytes)
    t.equal(rig.book().log.damagedCount, 1)
  },
)

t.test('the log is rewritten when it says too much, and then says the same', async (t) => {
  const rig = new LetterRig(t)
  rig.write('a', 'b', 'c')
  const book = rig.book()
  const [a, b, c] = [...book.entries({})].map(({ digest, letter }) => {
    return { letter: digest, id: letter.id }
  })
  if (a === undefined || b === undefined || c === undefined) throw new Error('three letters')
  const gone = { letter: 'gone', id: 'shard-5.1.0' }
  for (let i = 0; i < 3; i++) {
    book.log.append(Array.from({ length: 3000 }, () => ({ is: 'failed', ...a, why: 'x' }) as const))
  }
  book.log.append([
    { is: 'done', ...b, as: 'recovered' },
    { is: 'failed', ...c, why: 'y' },
    { is: 'try', ...c, shard: 0, journal: 'j', seq: 9 },
    { is: 'done', ...gone, as: 'purged' },
  ])
  const file = path.join(rig.directory, 'settled.log')
  const before = statSync(file).size
  for (let i = 0; i < 4; i++) {
    book.log.append(Array.from({ length: 3000 }, () => ({ is: 'failed', ...a, why: 'x' }) as const))
  }
  book.log.compact((id) => book.isThere(id))
  t.ok(statSync(file).size < before / 100, `${statSync(file).size} bytes`)
  const { fates } = rig.book().log
  t.match(fates.get(a.letter), { tries: 21_000, why: 'x', as: undefined, doubt: undefined })
  t.match(fates.get(b.letter), { as: 'recovered' })
  t.match(fates.get(c.letter), {
    tries: 2,
    doubt: { shard: 0, journal: 'j', seq: 9 },
    as: undefined,
  })
  t.equal(fates.has('gone'), false)
})
