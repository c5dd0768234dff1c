// Options from the command line and the environment, laid over those of the file.
//
//   --set serve.listen.port=9000       TICKD_SERVE__LISTEN__PORT=9000
//   --set sources.binance.rate=5       TICKD_SOURCES__BINANCE__RATE=5
//
// A member of a list is named by its index or its `name` ("-" may be written "_", as environment
// names need). A value is YAML, so lists can be given as [a, b]; but an option that takes only text
// takes the value as it stands.

import { parse } from 'yaml'
import { TickdError } from '../errors.ts'
import { type Problem, pathText, unknownText } from './problem.ts'
import { nodeAt, type Path, type SchemaNode, schemaRoot, valueAt } from './schema-node.ts'

/** Names in the environment that are ours and no options. */
export const RESERVED_ENV: Readonly<Record<string, string>> = Object.freeze({
  TICKD_SEED: 'Seed of randomised tests: repeats a run that failed.',
  TICKD_TOKEN_FILE: 'File with the key that commands send to a running daemon: ledger, replay.',
  TICKD_KERNELS: 'auto, native or js: which inner loops run. auto = native where they are built.',
  TICKD_CAPTURES: 'Directory of recorded market data, for tests.',
  TICKD_HOSTILE_FRAMES: 'Frames of the decoders’ test of hostile input: more = a longer run.',
  TICKD_TEST_FAULTS: 'Faults on demand, for tests of supervision; see src/threads/test-faults.ts.',
  TICKD_TEST_FAULTS_ALLOWED: 'yes = TICKD_TEST_FAULTS is meant. Never set it on a machine of use.',
  TICKD_HOSTILE_LINES: 'Lines of the daemon’s test of hostile input: more = a longer run.',
})

const PREFIX = 'TICKD_'

interface Override {
  readonly steps: readonly string[]
  readonly value: string
  /** What the user wrote, for messages. */
  readonly origin: string
}

/** `--set` arguments. Throws USAGE when one is not key=value. */
export function setOverrides(set: readonly string[]): Override[] {
  return set.map((argument) => {
    const equals = argument.indexOf('=')
    const key = argument.slice(0, equals).trim()
    if (equals < 1 || key === '') {
      throw new TickdError(
        'USAGE',
        `--set takes key=value, e.g. serve.listen.port=9000; not ${argument}`,
      )
    }
    // sources[0].rate and sources.0.rate are the same.
    const steps = key.replace(/\[(\d+)\]/g, '.$1').split('.')
    return { steps, value: argument.slice(equals + 1), origin: `--set ${key}` }
  })
}

/** The environment's TICKD_ names; shorter ones first, so that a group may be refined. */
export function envOverrides(env: Readonly<Record<string, string | undefined>>): Override[] {
  return Object.entries(env)
    .filter(([name]) => name.startsWith(PREFIX) && !Object.hasOwn(RESERVED_ENV, name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({
      steps: name.slice(PREFIX.length).toLowerCase().split('__'),
      value: value ?? '',
      origin: name,
    }))
}

/** Lays `overrides` over `tree` in place, and notes where they come from. */
export function applyOverrides(
  tree: Record<string, unknown>,
  overrides: readonly Override[],
  origin: Map<string, string>,
): Problem[] {
  const problems: Problem[] = []
  for (const override of overrides) {
    const problem = applyOne(tree, override, origin)
    if (problem !== undefined) problems.push(problem)
  }
  return problems
}

function applyOne(
  tree: Record<string, unknown>,
  { steps, value, origin: from }: Override,
  origin: Map<string, string>,
): Problem | undefined {
  const path: (string | number)[] = []
  let holder: unknown = tree
  for (const [depth, step] of steps.entries()) {
    const key = keyOf(holder, step)
    path.push(key ?? step)
    if (key === undefined) return { path, text: 'there is no such member', from }
    const node = nodeAt(path, tree)
    if (node === undefined) return { path, text: unknownOption(path, tree, from), from }
    const container = holder as Record<string | number, unknown>
    if (depth === steps.length - 1) {
      container[key] = node.type === 'string' ? value : yamlValue(value)
      origin.set(pathText(path), from)
    } else {
      container[key] = valueAt(container, key) ?? defaultGroup(node)
    }
    holder = container[key]
  }
  return undefined
}

/** What refining an option that is not given refines: its default, such as the four sources. */
function defaultGroup(node: SchemaNode): unknown {
  return typeof node.default === 'object' ? structuredClone(node.default) : {}
}

/** The key that `step` means in `holder`; undefined where it means none. */
function keyOf(holder: unknown, step: string): string | number | undefined {
  if (Array.isArray(holder)) {
    const index = /^\d+$/.test(step)
      ? Number(step)
      : holder.findIndex((member) => plainName(valueAt(member, 'name')) === plainName(step))
    return index >= 0 && index < holder.length ? index : undefined
  }
  if (typeof holder !== 'object' || holder === null) return undefined
  return step
}

function plainName(name: unknown): string {
  return String(name).replaceAll('-', '_').toLowerCase()
}

function unknownOption(path: Path, tree: unknown, from: string): string {
  const step = String(path.at(-1))
  const around = path.length === 1 ? schemaRoot() : nodeAt(path.slice(0, -1), tree)
  const known = Object.keys(around?.properties ?? {})
  if (path.length > 1 || !from.startsWith(PREFIX)) return unknownText(step, known)
  const names = known.map((name) => PREFIX + name.toUpperCase())
  return unknownText(PREFIX + step.toUpperCase(), [...Object.keys(RESERVED_ENV), ...names])
}

function yamlValue(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return text
  }
}
