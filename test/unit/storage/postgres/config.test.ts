import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  externalUrl,
  hostOf,
  hostUrls,
  withoutPassword,
} from '../../../../src/storage/postgres/config.ts'

const TWO = 'postgresql://joe:s3cret@a.example:5433,b.example/ticks?target_session_attrs=read-write'

t.test('an address of several hosts is one address a host, in their order', (t) => {
  t.same(hostUrls(TWO), [
    'postgresql://joe:s3cret@a.example:5433/ticks?target_session_attrs=read-write',
    'postgresql://joe:s3cret@b.example/ticks?target_session_attrs=read-write',
  ])
  t.same(hostUrls(TWO).map(hostOf), ['a.example:5433', 'b.example'])
  t.same(hostUrls('postgresql://[::1]:5432,[::2]/ticks'), [
    'postgresql://[::1]:5432/ticks',
    'postgresql://[::2]/ticks',
  ])
  const socket = 'postgresql:///ticks?host=/run/postgresql'
  t.same(hostUrls(socket), [socket])
  t.match(hostOf(socket), /^postgresql:\/\/\/ticks\?host=/, 'all of it, where there is no host')
  t.end()
})

t.test('the password is put in and kept out of sight, whatever the number of hosts', (t) => {
  const path = join(t.testdir(), 'password')
  writeFileSync(path, 'a/b@c,d\n')
  const url = externalUrl({ url: TWO.replace(':s3cret', ''), password_file: path })
  for (const host of hostUrls(url)) {
    t.equal(decodeURIComponent(new URL(host).password), 'a/b@c,d')
  }
  t.equal(hostUrls(url).length, 2)
  const shown = withoutPassword(url)
  t.equal(shown, TWO.replace(':s3cret', ''))
  t.end()
})

t.test('what the store cannot use is said before it starts', (t) => {
  const refused: [url: string, text: RegExp][] = [
    ['postgresql://a,/ticks', /empty host/],
    ['postgresql://a,b/ticks?target_session_attrs=standby', /standby is of no use/],
    ['postgresql://a/ticks?target_session_attrs=read-only', /read-only is of no use/],
    ['ticks', /not an address/],
  ]
  for (const [url, text] of refused) {
    t.throws(() => externalUrl({ url, password_file: '' }), {
      code: 'CONFIG_INVALID',
      message: text,
    })
  }
  t.end()
})
