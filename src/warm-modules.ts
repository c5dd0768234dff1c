// Fills the module cache (module-cache.cjs) with every module of the daemon, for accounts that may
// only read it. Setup and the image run it:
//
//   node --require ./src/module-cache.cjs src/warm-modules.ts
//
// What is imported is compiled, too, and Node.js keeps that when it ends: for this account only.
// The entries of the process and of its threads are not imported, as they would run.

import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { STAGE_NAMES } from './pipeline.ts'
import { loadMakers } from './threads/agents.ts'

const cache = createRequire(import.meta.url)('./module-cache.cjs')
const { stripped } = cache as { stripped: (url: string) => string }

for (const name of readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })) {
  if (name.endsWith('.ts')) stripped(new URL(name, import.meta.url).href)
}
await import('./cli/run.ts')
await import('./daemon.ts')
await loadMakers(STAGE_NAMES)
