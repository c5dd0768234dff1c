// What a start loads: libraries cost it more than anything else (ws and ioredis a tenth of a second
// each), so those that a configuration has no use for are not loaded.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'

const ROOT = resolve(import.meta.dirname, '../..')
const PRINT = `const packages = Object.keys(require.cache).flatMap((path) =>
  /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(path)?.[1] ?? [])
const inner = process.moduleLoadList.filter((name) => name.includes('deps/undici')).length
console.log([...new Set(packages), ...(inner > 0 ? ['undici'] : [])].sort().join())`

/** Packages loaded with these modules of src/; ES modules do not show, and none of them is big. */
function packagesOf(...modules: string[]): string[] {
  const imports = modules.map((name) => `await import(${JSON.stringify(`${ROOT}/src/${name}`)})`)
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '-e',
      `void (async () => {${imports.join('\n')}
${PRINT}})()`,
    ],
    { encoding: 'utf8' },
  )
  t.equal(stderr, '')
  return stdout.trim().split(',')
}

t.test('main loads what reads the configuration, and PostgreSQL', async (t) => {
  const loaded = packagesOf('cli/run.ts', 'daemon.ts')
  for (const name of ['ioredis', 'pino', 'undici', 'ws']) t.notOk(loaded.includes(name), name)
  t.ok(loaded.includes('pg'), 'what is loaded is seen')
})

t.test(
  'threads load no clients of venues, of Redis, and no log before they say a word',
  async (t) => {
    const makers = ['source', 'decode', 'journal', 'aggregate', 'postgres', 'serve']
    const loaded = packagesOf(
      'threads/agents.ts',
      'ops/log.ts',
      ...makers.map((name) => `threads/make-${name}.ts`),
    )
    for (const name of ['ioredis', 'pino', 'undici', 'ws']) t.notOk(loaded.includes(name), name)
    t.ok(loaded.includes('pg'), 'what is loaded is seen')
    t.ok(packagesOf('threads/make-redis.ts').includes('ioredis'), 'before its agent starts')
  },
)
