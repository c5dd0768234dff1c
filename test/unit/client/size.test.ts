// What the client costs a page, as a bundler would ship it.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { bundle } from '../../../scripts/build-client.ts'

const GZIP_BYTES_MAX = 20_000

t.test('the whole client is less than 20 kB gzipped, for browsers', async (t) => {
  // Bundled for browsers: a module of Node would fail here.
  const code = bundle({ file: 'client/index.ts' })
  const size = gzipSync(code).length
  t.comment(`${code.length} bytes, ${size} gzipped`)
  t.ok(size > 1000 && size < GZIP_BYTES_MAX, `${size} bytes`)
  const text = new TextDecoder().decode(code)
  t.notMatch(text, /\b(require|process|Buffer)\b|node:/)
})

t.test('who imports the book alone gets the book alone', async (t) => {
  const code = bundle({ text: "import { Book } from './client/index.ts'; console.log(new Book())" })
  const text = new TextDecoder().decode(code)
  t.match(text, 'isCrossed')
  t.notMatch(text, /tickd\.v1|queueRecordsMax/, 'the connection is shaken off')
  t.ok(code.length < 4000, `${code.length} bytes`)
})

t.test('a module of Node is refused by this very check', async (t) => {
  t.throws(() => bundle({ text: "import { readFileSync } from 'node:fs'; readFileSync('x')" }))
})
