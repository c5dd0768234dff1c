// A configuration file: strict YAML, and the line of each option in it.

import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { errorText, TickdError } from '../errors.ts'
import { MIB } from '../limits.ts'
import { type Problem, pathText } from './problem.ts'
import type { Path } from './schema-node.ts'

/** Far more than 256 sources need; a capture given by mistake is not read into memory. */
const FILE_BYTES_MAX = 4 * MIB

export interface YamlFile {
  readonly tree: unknown
  /** Of each option that is given: "tickd.yaml line 12". */
  readonly origin: Map<string, string>
  /** Syntax errors and duplicate keys. */
  readonly problems: readonly Problem[]
}

/** Reads a file. Throws CONFIG_INVALID when it cannot be read. */
export function readYamlFile(file: string): YamlFile {
  const text = readText(file)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const name = basename(file)
  const problems = [...document.errors, ...document.warnings].map((error) => ({
    path: [],
    text: `${name} line ${lines.linePos(error.pos[0]).line}: ${error.message}`,
  }))
  const origin = new Map<string, string>()
  if (problems.length > 0) return { tree: {}, origin, problems }
  collectLines(document.contents, [], (path, offset) => {
    origin.set(pathText(path), `${name} line ${lines.linePos(offset).line}`)
  })
  return { tree: toTree(document, file), origin, problems }
}

function readText(file: string): string {
  try {
    const { size } = statSync(file)
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes, which no configuration has`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new TickdError(
      'CONFIG_INVALID',
      `the configuration ${file} cannot be read: ${errorText(error)}`,
      { cause: error },
    )
  }
}

/** An empty file, or one of comments alone, is a configuration of defaults. */
function toTree(document: Document, file: string): unknown {
  try {
    return document.toJS() ?? {}
  } catch (error) {
    throw new TickdError('CONFIG_INVALID', `the configuration ${file}: ${errorText(error)}`, {
      cause: error,
    })
  }
}

function collectLines(
  node: unknown,
  path: Path,
  found: (path: Path, offset: number) => void,
): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue
      const below = [...path, String(key.value)]
      if (key.range) found(below, key.range[0])
      collectLines(value, below, found)
    }
  } else if (isSeq(node)) {
    for (const [index, item] of node.items.entries()) {
      const below = [...path, index]
      const { range } = item as { range?: [number, number, number] | null }
      if (range) found(below, range[0])
      collectLines(item, below, found)
    }
  }
}
