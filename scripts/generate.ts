// Writes the files that are made from code: `npm run generate`; `--check` only compares.

import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { configPage } from '../src/config/describe.ts'
import { layoutHeader, layoutIdModule } from './native-layout.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** Each generated file, and the text that it must have. */
export const GENERATED: readonly { readonly path: string; readonly text: () => string }[] = [
  { path: 'docs/config.md', text: configPage },
  { path: 'native/generated/layout.h', text: layoutHeader },
  { path: 'src/native/layout-id.ts', text: layoutIdModule },
]

/** The generated files whose text on disk is not what the code says now. */
export function staleFiles(): string[] {
  return GENERATED.filter(({ path, text }) => readText(path) !== text()).map(({ path }) => path)
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(resolve(ROOT, path), 'utf8')
  } catch {
    return undefined
  }
}

function main(args: readonly string[]): number {
  const stale = staleFiles()
  if (args.includes('--check')) {
    for (const path of stale) console.error(`${path} is not up to date: npm run generate`)
    return stale.length === 0 ? 0 : 1
  }
  for (const { path, text } of GENERATED) writeFileSync(resolve(ROOT, path), text())
  console.log(stale.length === 0 ? 'all were up to date' : `wrote ${stale.join(', ')}`)
  return 0
}

if (process.argv[1] === import.meta.filename) process.exitCode = main(process.argv.slice(2))
