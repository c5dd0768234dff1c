import t from 'tap'
import { readSecret } from '../../../src/config/secret.ts'

t.test('a secret is the content without the white space around it', async (t) => {
  const directory = t.testdir({ secret: '\n  pass word \n' })
  t.equal(readSecret(`${directory}/secret`), 'pass word')
})

t.test('an error names the file and not its content', async (t) => {
  const directory = t.testdir({ long: 'hunter2'.repeat(1000) })
  t.throws(() => readSecret(`${directory}/long`), {
    code: 'CONFIG_INVALID',
    message: /secret file/,
  })
  try {
    readSecret(`${directory}/long`)
  } catch (error) {
    t.notMatch(String(error), /hunter2/)
  }
})
