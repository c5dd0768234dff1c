// Error codes are a closed list, and docs/errors.md explains exactly that list.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { assert, ERROR_CODES, errorText, TickdError } from '../../src/errors.ts'

t.test('docs/errors.md has a row for each code, in the order of the list', async (t) => {
  const page = readFileSync(resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  const rows = page.split('\n').filter((line) => line.startsWith('| `'))
  const cells = rows.map((row) => row.split(' | '))
  t.same(
    cells.map(([code]) => code?.replaceAll(/[|` ]/g, '')),
    [...ERROR_CODES],
  )
  for (const row of cells) t.equal(row.length, 5, `${row[0]} has all five cells`)
  const wrongUsage = cells.filter(([, exit]) => exit === '2').map(([code]) => code)
  t.same(wrongUsage, ['| `USAGE`', '| `CONFIG_INVALID`'])
})

t.test('codes are unique', async (t) => {
  t.equal(new Set(ERROR_CODES).size, ERROR_CODES.length)
})

t.test('an operational error has its code, whether to retry, and its cause', async (t) => {
  const cause = new Error('ECONNREFUSED')
  const error = new TickdError('POSTGRES_UNREACHABLE', 'no answer', { canRetry: true, cause })
  t.equal(error.code, 'POSTGRES_UNREACHABLE')
  t.equal(error.canRetry, true)
  t.equal(error.cause, cause)
  t.equal(new TickdError('IO', 'x').canRetry, false)
  t.notOk(Object.hasOwn(new TickdError('IO', 'x'), 'cause'))
})

t.test('an assertion names the invariant that is broken', async (t) => {
  t.throws(() => assert(false, 'a ring is a power of two'), /a ring is a power of two/)
  t.doesNotThrow(() => assert(true, 'never seen'))
})

t.test('whatever was thrown has a text of one line', async (t) => {
  t.equal(errorText(new Error('a\n  b')), 'a b')
  t.equal(errorText(new RangeError('')), 'RangeError')
  t.equal(errorText('plain'), 'plain')
  t.equal(errorText(undefined), 'undefined')
})
