// The developers' commands, as package.json has them: each says how it is used, and what is wrong.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import packageJson from '../../package.json' with { type: 'json' }

const ROOT = resolve(import.meta.dirname, '../..')
/** They take no options, but for the daemon, which has an interface of its own. */
const OTHERS = ['start', 'generate', 'build:client', 'docs:console', 'docs:profiling']

t.setTimeout(120_000)

function run(script: string, ...more: string[]) {
  return spawnSync('sh', ['-c', `${script} "$@"`, 'sh', ...more], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${ROOT}/node_modules/.bin:${process.env.PATH}` },
  })
}

const commands = Object.entries(packageJson.scripts).filter(([name, script]) => {
  return script.includes('node ') && !OTHERS.includes(name)
})

t.test('all of them are looked at', async (t) => {
  const names = commands.map(([name]) => name)
  for (const name of ['test', 'test:sim', 'test:faults', 'test:feed', 'bench', 'bench:report']) {
    t.ok(names.includes(name), name)
  }
})

/** Of the others a word that is no option is refused as well. */
const TAKES_WORDS = ['test', 'test:feed', 'test:faults', 'bench', 'bench:report']

for (const [name, script] of commands) {
  const call = name === 'test' ? 'npm test' : `npm run ${name}`
  t.test(call, async (t) => {
    const help = run(script, '--help')
    t.equal(help.status, 0)
    t.ok(help.stdout.startsWith(`${call} -- `), 'usage')
    t.equal(help.stderr, '')
    const wrong = run(script, '--no-such-option')
    t.equal(wrong.status, 2)
    t.equal(wrong.stdout, '')
    const [first = '', ...rest] = wrong.stderr.split('\n')
    t.match(first, /--no-such-option/, 'what is wrong, first')
    t.equal(rest.join('\n'), help.stdout, 'then the usage, and no stack')
    if (!TAKES_WORDS.includes(name)) t.match(run(script, 'word'), { status: 2, stderr: /'word'/ })
  })
}

t.test('a signal to npm is one to the command: no shell is between', async (t) => {
  for (const [name, script] of Object.entries(packageJson.scripts)) {
    if (script.includes('node ')) t.match(script, /^exec node /, name)
  }
})
