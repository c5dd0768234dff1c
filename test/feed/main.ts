// The conformance suite of the feed, against any URL: does this server keep docs/protocol.md?
//
//   npm run test:feed -- --url ws://localhost:8080/v1/feed [--token TOKEN] [part of a name]…
//   npm run test:feed -- --list
//
// Some cases need a daemon that was made for them, and are skipped unless it is said to be so:
// `--has cut`. `--list` shows which case shows what of the page, and what it needs. Prints a line a
// case. Exit code 0 when none failed, 1 when one did, 2 for wrong usage.

import { commandLine, refuse } from '../../scripts/command-line.ts'
import { CASES } from './cases.ts'
import { rules } from './coverage.ts'
import { type FeedCase, NEEDS, type Need, Skip, Target } from './target.ts'

const USAGE = `npm run test:feed -- --url ws://localhost:8080/v1/feed [--token TOKEN]
                     [--narrow-token TOKEN] [--has NEED]… [part of a name]…
npm run test:feed -- --list
`
const { values, positionals } = commandLine(
  USAGE,
  {
    url: { type: 'string' },
    token: { type: 'string' },
    'narrow-token': { type: 'string' },
    has: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
  },
  { allowPositionals: true },
)
const { url = '', token, 'narrow-token': narrowToken, has, list } = values

function showRules(): void {
  for (const { kind, text, shownBy } of rules()) {
    console.log(`${kind} ${text}`)
    for (const name of shownBy) console.log(`      ${name}`)
  }
  console.log('\nNeeds of cases (--has):')
  for (const [need, meaning] of Object.entries(NEEDS)) {
    const count = CASES.filter(({ needs }) => needs === need).length
    console.log(`${need.padEnd(8)}${meaning}: ${count}`)
  }
}

function isThere(need: Need | undefined): boolean {
  if (need === undefined || has.includes(need)) return true
  return need === 'key' ? token !== undefined : need === 'narrow' && narrowToken !== undefined
}

async function outcomeOf({ needs, run }: FeedCase): Promise<'passed' | Skip | Error> {
  if (needs !== undefined && !isThere(needs)) return new Skip(`needs ${needs}: ${NEEDS[needs]}`)
  const target = new Target(url, needs === 'narrow' ? narrowToken : token)
  try {
    await run(target)
    return 'passed'
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    target.close()
  }
}

async function runAll(): Promise<void> {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const each of CASES) {
    const title = `${each.section}: ${each.name}`
    if (positionals.length > 0 && !positionals.some((part) => title.includes(part))) continue
    const outcome = await outcomeOf(each)
    if (outcome === 'passed') {
      counts.passed++
      console.log(`ok    ${title}`)
      continue
    }
    const isSkip = outcome instanceof Skip
    counts[isSkip ? 'skipped' : 'failed']++
    const text = outcome.message.replaceAll('\n', '\n      ')
    console.log(`${isSkip ? 'skip ' : 'FAIL '} ${title}\n      ${text}`)
  }
  console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
}

const unknown = has.find((need) => !Object.hasOwn(NEEDS, need))
if (list) showRules()
else if (!/^wss?:/.test(url)) refuse('--url is the address of a feed: ws://… or wss://…', USAGE)
else if (unknown !== undefined) refuse(`--has ${unknown}: no such need; --list shows them`, USAGE)
else await runAll()
