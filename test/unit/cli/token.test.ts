import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { tokenHeaders } from '../../../src/cli/token.ts'

t.test('a command sends the key that its environment names, or none', async (t) => {
  const file = join(t.testdir(), 'key')
  writeFileSync(file, 'tk_x\n')
  t.same(tokenHeaders({}), {})
  t.same(tokenHeaders({ TICKD_TOKEN_FILE: file }), { authorization: 'Bearer tk_x' })
  t.throws(() => tokenHeaders({ TICKD_TOKEN_FILE: `${file}-nowhere` }), { code: 'CONFIG_INVALID' })
})
