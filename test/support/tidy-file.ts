// A file of the project as the tidy rules see it: its text, lines, and (TypeScript) its tree.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { extname, join, matchesGlob, resolve } from 'node:path'
import { type Comment, type Node, parse } from 'acorn'

export const ROOT = resolve(import.meta.dirname, '../..')

export interface TidyFile {
  /** From the root, with slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
}

export interface Tree {
  readonly root: AnyNode
  readonly comments: readonly Comment[]
}

/** A node of the syntax tree, walked by its keys. */
export type AnyNode = Node & { readonly [key: string]: unknown }

export interface Finding {
  readonly path: string
  readonly line: number
  readonly text: string
}

const TEXT_TYPES = new Set([
  ...'.ts .cjs .mjs .js .cc .h .json .yaml .yml .md .sh'.split(' '),
  ...'.sql .fbs .html .css .svg .service .toml'.split(' '),
])
const TEXT_NAMES = /^(Dockerfile|LICENSE|\..*|run|setup|tickd)$/
const FILE_BYTES_MAX = 4 * 1024 * 1024

export function tidyFile(path: string, text: string): TidyFile {
  return { path, text, lines: text.split('\n') }
}

/** Every text file of the project: what git knows, and what is new and not ignored. */
export function projectFiles(): TidyFile[] {
  return [...new Set(gitNames() ?? walkedNames())]
    .filter((name) => name !== '' && isText(name))
    .map((name) => tidyFile(name, readFileSync(resolve(ROOT, name), 'utf8')))
}

/** Undefined where there is no git, or no repository: an unpacked archive. */
export function gitNames(): string[] | undefined {
  // The checkout may belong to another account, as in a container.
  const args = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others']
  const { status, stdout } = spawnSync('git', [...args, '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: FILE_BYTES_MAX,
  })
  return status === 0 ? stdout.split('\0') : undefined
}

/** The files that are there, but for the names of .gitignore. */
export function walkedNames(): string[] {
  const ignored = readFileSync(resolve(ROOT, '.gitignore'), 'utf8').split('\n')
  const exclude = ['.git', ...ignored.map((line) => line.replace(/\/$/, ''))]
  const isIgnored = (name: string) => exclude.some((each) => matchesGlob(name, each))
  // What is ignored is not even entered: other tests make and remove files there meanwhile.
  const names = (directory: string): string[] =>
    readdirSync(resolve(ROOT, directory), { withFileTypes: true })
      .filter(({ name }) => !isIgnored(name))
      .flatMap((entry) => {
        const path = join(directory, entry.name)
        return entry.isDirectory() ? names(path) : entry.isFile() ? [path] : []
      })
  return names('')
}

function isText(name: string): boolean {
  const base = name.slice(name.lastIndexOf('/') + 1)
  if (!TEXT_TYPES.has(extname(base)) && !TEXT_NAMES.test(base)) return false
  const stat = statSync(resolve(ROOT, name), { throwIfNoEntry: false })
  return stat?.isFile() === true && stat.size <= FILE_BYTES_MAX
}

export function isTypeScript(file: TidyFile): boolean {
  return file.path.endsWith('.ts')
}

/** Written by a program: says so in its first lines. Its size is not ours to choose. */
export function isGenerated(file: TidyFile): boolean {
  return /\b(Generated|@generated|automatically generated)\b/.test(
    file.lines.slice(0, 5).join('\n'),
  )
}

const trees = new WeakMap<TidyFile, Tree>()

/** The syntax tree; lines and columns are those of the TypeScript, whose types become blanks. */
export function treeOf(file: TidyFile): Tree {
  let tree = trees.get(file)
  if (tree === undefined) {
    const comments: Comment[] = []
    const code = stripTypeScriptTypes(file.text, { mode: 'strip' })
    const root = parse(code, {
      ecmaVersion: 'latest',
      sourceType: 'module',
      locations: true,
      onComment: comments,
    })
    tree = { root: root as unknown as AnyNode, comments }
    trees.set(file, tree)
  }
  return tree
}

/** Visits each node below `node` with its ancestors, outermost first. */
export function walk(
  node: AnyNode,
  visit: (node: AnyNode, ancestors: readonly AnyNode[]) => void,
  ancestors: readonly AnyNode[] = [],
): void {
  visit(node, ancestors)
  const below = [...ancestors, node]
  for (const value of Object.values(node)) {
    for (const member of Array.isArray(value) ? value : [value]) {
      if (isNode(member)) walk(member, visit, below)
    }
  }
}

export function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

export function lineOf(node: Node): number {
  return node.loc?.start.line ?? 0
}

export function endLineOf(node: Node): number {
  return node.loc?.end.line ?? 0
}

/** Every module that a file names, with its line. Types count: they are a dependency too. */
export function importsOf(file: TidyFile): { specifier: string; line: number }[] {
  const pattern = /(?<![.\w])(?:from\s+|import\s*\(?\s*)'([^'\n]+)'/g
  return file.lines.flatMap((text, index) =>
    [...text.matchAll(pattern)].map((match) => ({
      specifier: match[1] as string,
      line: index + 1,
    })),
  )
}
