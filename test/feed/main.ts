// The conformance suite of the feed, against any URL: does this server keep docs/protocol.md?
//
//   npm run test:feed -- --url ws://localhost:8080/v1/feed [--token TOKEN] [part of a name]…
//
// Prints a line a case. Exit code 0 when none failed, 1 when one did, 2 for wrong usage.

import { parseArgs } from 'node:util'
import { CASES } from './cases.ts'
import { Skip, Target } from './target.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { url: { type: 'string' }, token: { type: 'string' } },
})
if (values.url === undefined || !/^wss?:/.test(values.url)) {
  console.error('usage: npm run test:feed -- --url ws://localhost:8080/v1/feed [--token TOKEN]')
  process.exit(2)
}

const counts = { passed: 0, failed: 0, skipped: 0 }
for (const { section, name, run, needsKey } of CASES) {
  const title = `${section}: ${name}`
  if (positionals.length > 0 && !positionals.some((part) => title.includes(part))) continue
  if (needsKey === true && values.token === undefined) {
    counts.skipped++
    console.log(`skip  ${title}\n      needs --token, and a daemon that demands one`)
    continue
  }
  const target = new Target(values.url, values.token)
  try {
    await run(target)
    counts.passed++
    console.log(`ok    ${title}`)
  } catch (error) {
    const isSkip = error instanceof Skip
    counts[isSkip ? 'skipped' : 'failed']++
    const text = error instanceof Error ? error.message : String(error)
    console.log(
      `${isSkip ? 'skip ' : 'FAIL '} ${title}\n      ${text.replaceAll('\n', '\n      ')}`,
    )
  } finally {
    target.close()
  }
}
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
