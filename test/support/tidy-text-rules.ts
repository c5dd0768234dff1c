// Tidy rules on names and text. Each has a bad sample, which it must find, so that it can fail.

import { basename, dirname, join } from 'node:path'
import { RESERVED_ENV } from '../../src/config/overrides.ts'
import { schemaRoot } from '../../src/config/schema-node.ts'
import { type Finding, isGenerated, isTypeScript, type TidyFile, tidyFile } from './tidy-file.ts'

export interface Rule {
  readonly name: string
  readonly check: (file: TidyFile, all: readonly TidyFile[]) => Finding[]
  readonly bad: TidyFile
}

const FILE_LINES_MAX = 400
const TEST_LINES_MAX = 800
const LINE_CHARS_MAX = 100

/** Words that would be findings in this very file are put together here. */
const join2 = (a: string, b: string): string => a + b

function everyLine(file: TidyFile, check: (line: string) => string | undefined): Finding[] {
  return file.lines.flatMap((line, index) => {
    const text = check(line)
    return text === undefined ? [] : [{ path: file.path, line: index + 1, text }]
  })
}

const isCode = (file: TidyFile): boolean => /\.(ts|mjs|cc|h|sh|sql|fbs|yaml|yml)$/.test(file.path)

const fileLength: Rule = {
  name: `a file has at most ${FILE_LINES_MAX} lines, a test ${TEST_LINES_MAX}`,
  check: (file) => {
    if (!/\.(ts|mjs|cc|h|html|css)$/.test(file.path) || isGenerated(file)) return []
    const max = file.path.startsWith('test/') ? TEST_LINES_MAX : FILE_LINES_MAX
    const count = file.lines.length - 1
    return count > max ? [{ path: file.path, line: max, text: `${count} lines` }] : []
  },
  bad: tidyFile('src/long.ts', '\n'.repeat(FILE_LINES_MAX + 1)),
}

const lineLength: Rule = {
  name: `a line has at most ${LINE_CHARS_MAX} characters, but for addresses and tables`,
  check: (file) => {
    const isProse = file.path.endsWith('.md')
    if ((!isCode(file) && !isProse) || isGenerated(file)) return []
    let fenced = false
    return everyLine(file, (line) => {
      if (isProse && line.startsWith('```')) fenced = !fenced
      if (isProse && (fenced || line.startsWith('|'))) return undefined
      if ([...line].length <= LINE_CHARS_MAX || /\w+:\/\/\S+/.test(line)) return undefined
      return `${[...line].length} characters`
    })
  },
  bad: tidyFile('src/wide.ts', `// ${'x'.repeat(LINE_CHARS_MAX)}`),
}

const fileNames: Rule = {
  name: 'files are nouns in kebab-case (native code in snake_case), and no bags',
  check: (file) => {
    const finding = (text: string) => [{ path: file.path, line: 1, text }]
    const words = file.path.replace(/\.[a-z.]+$/, '').split(/[/\-_]/)
    const bag = words.find((word) => /^(utils?|helpers?|common|managers?|handy|misc)$/.test(word))
    if (bag !== undefined) return finding(`${bag} says nothing: a helper lives with its noun`)
    const name = basename(file.path)
    if (/\.(ts|mjs)$/.test(name) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|mjs)$/.test(name)) {
      return finding('must be kebab-case')
    }
    if (/\.(cc|h)$/.test(name) && !/^[a-z0-9]+(_[a-z0-9]+)*\.(cc|h)$/.test(name)) {
      return finding('must be snake_case')
    }
    return []
  },
  bad: tidyFile('src/ring/ring-utils.ts', ''),
}

const headerComment: Rule = {
  name: 'a source file begins with a comment that says what it is',
  check: (file) => {
    if (!/^(src|scripts|bench|client)\/.*\.ts$/.test(file.path)) return []
    const [first = '', second = ''] = file.lines
    const text = first === '// hot path' ? second : first
    if (/^\/\/ \S/.test(text) || /^\/\*\*?/.test(text)) return []
    return [{ path: file.path, line: 1, text: 'no comment at the top' }]
  },
  bad: tidyFile('src/bare.ts', "import 'node:fs'\n"),
}

const unfinished: Rule = {
  name: 'nothing is marked as unfinished, skipped, or hidden from a tool',
  check: (file) => {
    const marks = [
      join2('TO', 'DO'),
      join2('FIX', 'ME'),
      join2('X', 'XX'),
      join2('biome-', 'ignore'),
      join2('@ts-', 'ignore'),
      join2('@ts-', 'nocheck'),
      join2('c8 ', 'ignore'),
      join2('istanbul ', 'ignore'),
    ]
    const pattern = new RegExp(`(?<!\\w)(${marks.join('|')})\\b`)
    const calls = file.path.startsWith('test/') ? /\bt\.(skip|only|todo)\(/ : undefined
    return everyLine(file, (line) => pattern.exec(line)?.[0] ?? calls?.exec(line)?.[0])
  },
  bad: tidyFile('src/a.ts', `// ${join2('TO', 'DO')}: later`),
}

const machinePaths: Rule = {
  name: 'no path of the machine it was written on',
  check: (file) =>
    everyLine(file, (line) => /(^|[\s'"`=(])\/(work|root|home|Users)\/[^\s'"`]*/.exec(line)?.[0]),
  bad: tidyFile('src/a.ts', `const x = '${join2('/ro', 'ot/tickd')}'`),
}

const registryHosts: Rule = {
  name: 'no address of a package registry',
  check: (file) => {
    const hosts = new RegExp(
      [join2('registry\\.', '(npmjs|yarnpkg|npmmirror)'), join2('"resol', 'ved":')].join('|'),
    )
    return everyLine(file, (line) => hosts.exec(line)?.[0])
  },
  bad: tidyFile('package-lock.json', `"${join2('resol', 'ved')}": "x"`),
}

const namedDocuments: Rule = {
  name: 'a document that is named exists',
  check: (file, all) => {
    if (file.path === 'package-lock.json') return []
    const exists = (name: string) =>
      all.some(
        ({ path }) =>
          path === name || path === `docs/${name}` || path === join(dirname(file.path), name),
      )
    return everyLine(file, (line) => {
      const names = line.match(/(?<![\w./*$}-])(?:[\w-]+\/)*[A-Za-z][\w-]*\.md\b/g) ?? []
      return names.find((name) => !exists(name))
    })
  },
  bad: tidyFile('src/a.ts', `// as docs/${join2('nowhere', '.md')} says`),
}

const environmentNames: Rule = {
  name: 'a TICKD_ name of the environment is an option or is documented',
  check: (file) => {
    if (!isTypeScript(file)) return []
    const options = Object.keys(schemaRoot().properties ?? {}).map((name) => name.toUpperCase())
    return everyLine(file, (line) => {
      const name = /\benv(?:\.|\[')(TICKD_[A-Z0-9_]+)/.exec(line)?.[1]
      if (name === undefined || Object.hasOwn(RESERVED_ENV, name)) return undefined
      const [group = ''] = name.slice('TICKD_'.length).split('__')
      return options.includes(group) ? undefined : `${name} is not in RESERVED_ENV`
    })
  },
  bad: tidyFile('src/a.ts', `const x = process.env.${join2('TICKD', '_NOWHERE')}`),
}

export const TEXT_RULES: readonly Rule[] = [
  fileLength,
  lineLength,
  fileNames,
  headerComment,
  unfinished,
  machinePaths,
  registryHosts,
  namedDocuments,
  environmentNames,
]
