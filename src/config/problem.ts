// What is wrong with a configuration, one entry an error, and the one message that lists them all.
//
// A message says which option, what was given and where, and what would be right. What was given is
// shown without credentials: an address may carry a password.

import type { z } from 'zod'
import { TickdError } from '../errors.ts'
import { allowedText, nodeAt, type Path, valueAt } from './schema-node.ts'

export interface Problem {
  readonly path: Path
  readonly text: string
  /** Where it was given, where the path alone does not tell. */
  readonly from?: string
}

/** Where each given option comes from: "tickd.yaml line 12", "TICKD_SHARDS", "--set". */
export type Origin = ReadonlyMap<string, string>

const GIVEN_CHARS_MAX = 80

/** serve.listen.port, sources[0].name; the whole configuration is "(top level)". */
export function pathText(path: Path): string {
  if (path.length === 0) return '(top level)'
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')
}

/** Throws CONFIG_INVALID with every problem on a line of its own. */
export function throwProblems(problems: readonly Problem[], origin: Origin): never {
  const lines = problems.map(({ path, text, ...known }) => {
    const from = known.from ?? originOf(path, origin)
    return `\n  ${pathText(path)}: ${text}${from === undefined ? '' : ` (${from})`}`
  })
  const count = problems.length === 1 ? '1 error' : `${problems.length} errors`
  throw new TickdError('CONFIG_INVALID', `the configuration has ${count}:${lines.join('')}`)
}

/** The origin of an option, or of the nearest thing around it that was given. */
function originOf(path: Path, origin: Origin): string | undefined {
  for (let length = path.length; length >= 0; length--) {
    const from = origin.get(pathText(path.slice(0, length)))
    if (from !== undefined) return from
  }
  return undefined
}

/** Says zod's issues in our words. `given` is the configuration that was parsed. */
export function schemaProblems(issues: readonly z.core.$ZodIssue[], given: unknown): Problem[] {
  return issues.flatMap((issue) => issueProblems(issue, [], given))
}

function issueProblems(issue: z.core.$ZodIssue, parent: Path, given: unknown): Problem[] {
  const path: Path = [...parent, ...(issue.path as (string | number)[])]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...path, key],
      text: unknownText(key, Object.keys(nodeAt(path, given)?.properties ?? {})),
    }))
  }
  if (issue.code === 'invalid_union') {
    // Of an option that is one thing or a mapping, a mapping's errors are those inside it.
    const inside = issue.errors.find((member) => member.some((each) => each.path.length > 0))
    if (inside !== undefined) return inside.flatMap((each) => issueProblems(each, path, given))
  }
  if (issue.code === 'invalid_key') {
    const [rule] = issue.issues
    const pattern = rule !== undefined && 'pattern' in rule ? rule.pattern : 'the rule of names'
    return [{ path, text: `the name must match ${pattern}` }]
  }
  return [{ path, text: wrongText(issue, path, given) }]
}

function wrongText(issue: z.core.$ZodIssue, path: Path, given: unknown): string {
  const value = path.reduce(valueAt, given)
  const rule = ruleText(issue, path, given)
  return value === undefined ? `is missing; ${rule}` : `${rule}; given is ${givenText(value)}`
}

function ruleText(issue: z.core.$ZodIssue, path: Path, given: unknown): string {
  if (issue.code === 'invalid_union') {
    // Of a discriminated union zod names the kinds, in a field that its type leaves out.
    const { options } = issue as { readonly options?: readonly unknown[] }
    if (options !== undefined) return `must be one of ${options.join(', ')}`
  }
  const node = nodeAt(path, given)
  // zod's own texts begin so; those of the schema say the rule themselves.
  const isGeneric = /^(Invalid|Too|Unrecognized)/.test(issue.message)
  return isGeneric && node !== undefined ? `must be ${allowedText(node)}` : issue.message
}

export function unknownText(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known)
  if (nearest !== undefined) return `unknown option; did you mean ${nearest}?`
  return known.length === 0 ? 'unknown option' : `unknown option; known are ${known.join(', ')}`
}

/** A value as it may be shown: short, and without the password of an address. */
export function givenText(value: unknown): string {
  const text = hideCredentials(JSON.stringify(value) ?? String(value))
  return text.length <= GIVEN_CHARS_MAX ? text : `${text.slice(0, GIVEN_CHARS_MAX)}…`
}

/** postgresql://user:secret@host -> postgresql://user:***@host; the same for ?password=. */
export function hideCredentials(text: string): string {
  return text
    .replace(/(\w+:\/\/[^/\s:@"]*):[^\s"]*@/g, '$1:***@')
    .replace(/([?&]password=)[^&\s"]*/gi, '$1***')
}

/** The known name that was probably meant: few letters away, for the length of the word. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Letters to insert, delete or change to get from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current[j] = Math.min(change, (previous[j] as number) + 1, (current[j - 1] as number) + 1)
    }
    previous = current
  }
  return previous[b.length] as number
}
