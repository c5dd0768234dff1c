import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { READ_ALL } from '../../../../src/serve/access/grant.ts'
import {
  type ApiKey,
  changeKeyFile,
  generateKey,
  hashKey,
  KEY_FORM,
  readKeyFile,
} from '../../../../src/serve/access/key-file.ts'
import { KeyRing } from '../../../../src/serve/access/key-ring.ts'

const NOW_MS = Date.parse('2026-11-20T12:00:00.000Z')

function apiKey(more: Partial<ApiKey> = {}): { key: string; entry: ApiKey } {
  const { id, key } = generateKey()
  const entry: ApiKey = {
    id,
    name: 'desk',
    hash: hashKey(key).toString('hex'),
    created: '2026-11-20T00:00:00.000Z',
    expires: null,
    revoked: null,
    grant: READ_ALL,
    ...more,
  }
  return { key, entry }
}

t.test('a key is 256 random bits, and its file has but a hash of it', async (t) => {
  const file = join(t.testdir(), 'keys.json')
  const { key, entry } = apiKey()
  t.match(key, KEY_FORM)
  t.not(generateKey().key, generateKey().key)
  changeKeyFile(file, () => [entry])
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.notMatch(readFileSync(file, 'utf8'), key.slice(-43))
  t.same(readKeyFile(file), [entry])
})

t.test('a ring knows its keys, and only as long as they are good', async (t) => {
  const good = apiKey()
  const expired = apiKey({ expires: '2026-11-20T12:00:00.000Z' })
  const revoked = apiKey({ revoked: '2026-11-20T11:00:00.000Z' })
  const ring = new KeyRing([good.entry, expired.entry, revoked.entry])
  t.equal(ring.find(good.key, NOW_MS), good.entry)
  t.equal(ring.find(expired.key, NOW_MS - 1), expired.entry)
  t.equal(ring.find(expired.key, NOW_MS), undefined)
  t.equal(ring.find(revoked.key, NOW_MS), undefined)
  const other = generateKey()
  const mixed = `tk_${good.entry.id}_${other.key.slice(-43)}`
  for (const wrong of ['', 'tk_', other.key, mixed, `${good.key} `, good.entry.hash]) {
    t.equal(ring.find(wrong, NOW_MS), undefined, wrong)
  }
  t.ok(ring.holds(good.entry, NOW_MS))
  const changed = new KeyRing([{ ...good.entry, grant: { ...READ_ALL, push: true } }])
  t.notOk(changed.holds(good.entry, NOW_MS), 'its rights are others now')
  t.notOk(new KeyRing([]).holds(good.entry, NOW_MS))
})

t.test('two at once are one: the second is refused, and what fails changes nothing', async (t) => {
  const file = join(t.testdir(), 'keys.json')
  const { entry } = apiKey()
  changeKeyFile(file, () => [entry])
  changeKeyFile(file, (keys) => {
    t.throws(() => changeKeyFile(file, () => []), { code: 'IO', message: /another tickd key/ })
    return keys
  })
  t.throws(() =>
    changeKeyFile(file, () => {
      throw new Error('no')
    }),
  )
  t.same(readKeyFile(file), [entry])
  changeKeyFile(file, (keys) => keys)
})

t.test('a file that is not what was written is an error that says where', async (t) => {
  const file = join(t.testdir(), 'keys.json')
  const { entry } = apiKey()
  t.same(readKeyFile(file), [], 'none is no keys')
  const content = (keys: unknown) => JSON.stringify({ version: 1, keys })
  for (const [text, where] of [
    ['{', /JSON/],
    ['{"version":2,"keys":[]}', /version 1/],
    [content([entry, entry]), /keys\[1\]\.id/],
    [content([{ ...entry, name: 'a b' }]), /name/],
    [content([{ ...entry, hash: 'x' }]), /hash/],
    [content([{ ...entry, expires: 'soon' }]), /expires/],
    [content([{ ...entry, revoked: undefined }]), /revoked/],
    [content([{ ...entry, grant: { all: true } }]), /grant: all/],
  ] as const) {
    writeFileSync(file, text)
    t.throws(() => readKeyFile(file), { code: 'ACCESS_INVALID', message: where }, text)
  }
})
