// Tidy rules on the syntax tree: functions, hot paths, atomics, imports.

import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import {
  type AnyNode,
  endLineOf,
  type Finding,
  importsOf,
  isGenerated,
  isNode,
  isTypeScript,
  lineOf,
  type TidyFile,
  tidyFile,
  treeOf,
  walk,
} from './tidy-file.ts'
import type { Rule } from './tidy-text-rules.ts'

const FUNCTION_LINES_MAX = 70

const isFunction = (node: AnyNode): boolean =>
  /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)
const isLoop = (node: AnyNode): boolean =>
  /^(For|ForOf|ForIn|While|DoWhile)Statement$/.test(node.type)

const functionLength: Rule = {
  name: `a function has at most ${FUNCTION_LINES_MAX} lines`,
  check: (file) => {
    if (!isTypeScript(file) || isGenerated(file)) return []
    const findings: Finding[] = []
    walk(treeOf(file).root, (node, ancestors) => {
      if (!isFunction(node) || (file.path.startsWith('test/') && isTestBody(ancestors))) return
      const count = endLineOf(node) - lineOf(node) + 1
      if (count <= FUNCTION_LINES_MAX) return
      findings.push({ path: file.path, line: lineOf(node), text: `${count} lines` })
    })
    return findings
  },
  bad: tidyFile('src/a.ts', `function long(): void {${'\n'.repeat(FUNCTION_LINES_MAX)}}`),
}

/** The function given to t.test(): a list of sub-tests is not read as one function is. */
function isTestBody(ancestors: readonly AnyNode[]): boolean {
  const callee = ancestors.at(-1)?.callee
  return isNode(callee) && isNode(callee.property) && callee.property.name === 'test'
}

/** What a `// hot path` file does without, anywhere in it: why, and what to do instead. */
const HOT_BANS: readonly { readonly is: (node: AnyNode) => boolean; readonly text: string }[] = [
  {
    is: (node) => node.type === 'AwaitExpression' || (isFunction(node) && node.async === true),
    text: 'async: each await is an allocation and a turn of the loop; poll in doWork',
  },
  {
    is: (node) => node.type === 'Identifier' && node.name === 'Promise',
    text: 'Promise: allocates; return a code or a count',
  },
  {
    is: (node) => node.type === 'Identifier' && node.name === 'JSON',
    text: 'JSON: builds an object per record; scan the bytes',
  },
  {
    is: (node) => node.type === 'Literal' && 'regex' in node,
    text: 'a regular expression: needs a string; compare bytes',
  },
  {
    is: (node) =>
      (node.type === 'Literal' && 'bigint' in node) ||
      (node.type === 'Identifier' && /^Big(Int|U?[Ii]nt64)/.test(String(node.name))),
    text: 'BigInt: each value is an allocation; use word pairs (tick/fixed-point.ts)',
  },
  {
    is: (node) => node.type === 'TryStatement',
    text: 'try/catch: bad data is a return code; only the runner catches',
  },
]

/** What it does without inside its loops. */
const HOT_LOOP_BANS: typeof HOT_BANS = [
  {
    is: (node) => node.type === 'SpreadElement',
    text: 'spread: allocates per record; write into a buffer made before the loop',
  },
  { is: isFunction, text: 'a closure: allocates per record; make it a free function' },
  {
    is: (node) => /^(ObjectExpression|ArrayExpression|NewExpression)$/.test(node.type),
    text: 'an allocation per record: reuse what was made before the loop',
  },
]

const hotPath: Rule = {
  name: 'a hot path file keeps to the ban list',
  check: (file) => {
    if (!isTypeScript(file) || file.lines[0] !== '// hot path') return []
    const findings: Finding[] = []
    walk(treeOf(file).root, (node, ancestors) => {
      const inLoop = isInLoop(ancestors) && !runsOnce(file, ancestors)
      // What is thrown ends the loop; it may be made in it.
      if (ancestors.some((each) => each.type === 'ThrowStatement')) return
      const bans = inLoop ? [...HOT_BANS, ...HOT_LOOP_BANS] : HOT_BANS
      const ban = bans.find((each) => each.is(node))
      if (ban !== undefined) findings.push({ path: file.path, line: lineOf(node), text: ban.text })
    })
    return findings
  },
  bad: tidyFile('src/a.ts', '// hot path\nfor (const x of y) z({ x })\n'),
}

/** A constructor, or a function whose comment says that it runs once. */
function runsOnce(file: TidyFile, ancestors: readonly AnyNode[]): boolean {
  const member = ancestors.findLast((each) =>
    /^(MethodDefinition|FunctionDeclaration)$/.test(each.type),
  )
  if (member === undefined) return false
  const above = file.lines[lineOf(member) - 2] ?? ''
  return member.kind === 'constructor' || /^\s*(\/\*\*|\*|\/\/).*\bonce\b/i.test(above)
}

/** In the body of a loop of the same function. */
function isInLoop(ancestors: readonly AnyNode[]): boolean {
  const own = ancestors.slice(ancestors.findLastIndex(isFunction) + 1)
  return own.some((each, index) => isLoop(each) && own[index + 1] === each.body)
}

const atomicsComments: Rule = {
  name: 'every use of Atomics has a comment: what it pairs with, why, what a stale read costs',
  check: (file) => {
    if (!isTypeScript(file) || !file.path.startsWith('src/') || !file.text.includes('Atomics.')) {
      return []
    }
    const { root, comments } = treeOf(file)
    const commentEnds = new Set(comments.map((comment) => comment.loc?.end.line))
    const atomicLines = new Set<number>()
    const findings: Finding[] = []
    walk(root, (node, ancestors) => {
      if (node.type !== 'MemberExpression' || !isAtomics(node.object)) return
      const statement = statementOf(ancestors) ?? node
      const start = lineOf(statement)
      const inside = comments.some(
        (each) => each.start >= statement.start && each.end <= node.start,
      )
      const above = commentEnds.has(start - 1) || atomicLines.has(start - 1)
      if (inside || above || isDocumentedOneLiner(statement, ancestors, commentEnds)) {
        for (let line = start; line <= endLineOf(statement); line++) atomicLines.add(line)
      } else {
        findings.push({
          path: file.path,
          line: lineOf(node),
          text: file.lines[lineOf(node) - 1] ?? '',
        })
      }
    })
    return findings
  },
  bad: tidyFile('src/a.ts', '// a\n\nconst x = 1\nAtomics.store(words, x, 1)\n'),
}

function isAtomics(node: unknown): boolean {
  return isNode(node) && node.type === 'Identifier' && node.name === 'Atomics'
}

/** The nearest ancestor that stands in a list of statements or members. */
function statementOf(ancestors: readonly AnyNode[]): AnyNode | undefined {
  const index = ancestors.findLastIndex((each) =>
    /^(BlockStatement|Program|ClassBody|SwitchCase)$/.test(each.type),
  )
  return ancestors[index + 1]
}

/** The only statement of a function with a comment above it: the comment is about it. */
function isDocumentedOneLiner(
  statement: AnyNode,
  ancestors: readonly AnyNode[],
  commentEnds: ReadonlySet<number | undefined>,
): boolean {
  const block = ancestors[ancestors.indexOf(statement) - 1]
  if (block?.type !== 'BlockStatement' || (block.body as unknown[]).length !== 1) return false
  const owner = ancestors
    .slice(0, ancestors.indexOf(block))
    .findLast((each) =>
      /^(MethodDefinition|FunctionDeclaration|PropertyDefinition)$/.test(each.type),
    )
  return owner !== undefined && commentEnds.has(lineOf(owner) - 1)
}

const ringOffsets: Rule = {
  name: 'ring algorithms name their words: no numeric offsets',
  check: (file) => {
    if (!/^src\/ring\//.test(file.path) || /(-layout|-format)\.ts$/.test(file.path)) return []
    const findings: Finding[] = []
    // Word 0 of a one-word array is its only word.
    const flag = (node: unknown) => {
      if (
        isNode(node) &&
        node.type === 'Literal' &&
        typeof node.value === 'number' &&
        node.value > 0
      ) {
        findings.push({ path: file.path, line: lineOf(node), text: `the number ${node.value}` })
      }
    }
    walk(treeOf(file).root, (node) => {
      if (node.type === 'MemberExpression' && node.computed === true) flag(node.property)
      if (node.type !== 'CallExpression' || !isNode(node.callee)) return
      if (isAtomics(node.callee.object)) flag((node.arguments as unknown[])[1])
    })
    return findings
  },
  bad: tidyFile('src/ring/a.ts', '// a\nAtomics.load(words, 32)\n'),
}

const STAGES = ['source', 'decode', 'validate', 'journal', 'aggregate', 'storage', 'serve']

/** The exceptions, each a contract that one stage offers another; from pipeline.ts. */
const OFFERED: readonly { readonly to: RegExp; readonly by: RegExp; readonly why: string }[] = [
  { by: /^src\/validate\//, to: /^src\/decode\//, why: 'decode and validate are one agent' },
  { by: /^src\/journal\//, to: /^src\/storage\//, why: 'stores are readers of the journal' },
  {
    by: /^src\/aggregate\/latest-table/,
    to: /^src\/(storage|serve)\//,
    why: 'redis and serve read the latest table',
  },
]

const importDirections: Rule = {
  name: 'tick and ring import no stage, and stages do not import each other',
  check: (file) => {
    const [top, folder] = file.path.split('/')
    if (top !== 'src' || folder === undefined || !isTypeScript(file)) return []
    const isStage = STAGES.includes(folder)
    const isBase = ['tick', 'ring', 'config', 'ledger', 'ops'].includes(folder)
    if (!isStage && !isBase) return []
    return importsOf(file).flatMap(({ specifier, line }) => {
      if (!specifier.startsWith('.')) return []
      const target = posix.join(posix.dirname(file.path), specifier)
      const targetFolder = target.split('/')[1] ?? ''
      if (!STAGES.includes(targetFolder) || targetFolder === folder) return []
      if (OFFERED.some(({ by, to }) => by.test(target) && to.test(file.path))) return []
      return [{ path: file.path, line, text: `imports ${target}` }]
    })
  },
  bad: tidyFile('src/ring/a.ts', "import { x } from '../serve/x.ts'"),
}

const explicitExtensions: Rule = {
  name: 'a relative import names the file with its extension',
  check: (file) => {
    if (!isTypeScript(file)) return []
    return importsOf(file)
      .filter(
        ({ specifier }) => specifier.startsWith('.') && !/\.(ts|json|mjs|node)$/.test(specifier),
      )
      .map(({ specifier, line }) => ({ path: file.path, line, text: specifier }))
  },
  bad: tidyFile('src/a.ts', `import { x } from '${'./b'}'`),
}

/** A package, or a module in one. */
const PACKAGE = /^(@[\w.-]+\/)?[A-Za-z0-9][\w.-]*(\/[\w./-]+)?$/

const listedDependencies: Rule = {
  name: 'what is imported is listed in package.json; what ships, as a dependency',
  check: (file) => {
    if (!isTypeScript(file)) return []
    const ships = file.path.startsWith('src/')
    const listed = new Set([
      ...Object.keys(packageJson.dependencies),
      ...Object.keys(packageJson.optionalDependencies),
      ...(ships ? [] : Object.keys(packageJson.devDependencies)),
    ])
    return importsOf(file)
      .filter(({ specifier }) => PACKAGE.test(specifier) && !isBuiltin(specifier))
      .filter(({ specifier }) => !listed.has(packageOf(specifier)))
      .map(({ specifier, line }) => ({ path: file.path, line, text: specifier }))
  },
  bad: tidyFile('src/a.ts', `import x from '${'left-pad'}'`),
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

export const TREE_RULES: readonly Rule[] = [
  functionLength,
  hotPath,
  atomicsComments,
  ringOffsets,
  importDirections,
  explicitExtensions,
  listedDependencies,
]
