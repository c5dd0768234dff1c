// Builds client/dist/: the client library as one ES module without types, for who has no bundler.
//
//   node scripts/build-client.ts
//
// The daemon does not need it (it serves the sources, types blanked out), nor do bundlers.

import { resolve } from 'node:path'
import { buildSync } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '..')

/** What a bundler makes of an entry: the code. */
export function bundle(entry: { file: string } | { text: string }): Uint8Array {
  const { outputFiles } = buildSync({
    ...('file' in entry
      ? { entryPoints: [resolve(ROOT, entry.file)] }
      : { stdin: { contents: entry.text, resolveDir: ROOT, loader: 'ts' as const } }),
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.contents ?? new Uint8Array()
}

if (import.meta.main) {
  const { mkdirSync, writeFileSync } = await import('node:fs')
  const folder = resolve(ROOT, 'client/dist')
  mkdirSync(folder, { recursive: true })
  const code = bundle({ file: 'client/index.ts' })
  writeFileSync(resolve(folder, 'tickd-client.js'), code)
  console.log(`client/dist/tickd-client.js: ${code.length} bytes`)
}
