// The configuration in effect: defaults, then the file, then TICKD_… of the environment, then
// --set.
//
// Read once at start, checked as a whole, frozen. What is wrong is said all at once: every option
// with what was given, where, and what is allowed. Relations between options are checked when each
// by itself is right.

import { crossCheck } from './cross-check.ts'
import { applyOverrides, envOverrides, setOverrides } from './overrides.ts'
import { type Origin, schemaProblems, throwProblems } from './problem.ts'
import { type Config, configSchema } from './schema.ts'
import { readYamlFile, type YamlFile } from './yaml-file.ts'

export { readSecret } from './secret.ts'
export { resolveStateDir } from './state-dir.ts'

export interface LoadOptions {
  /** A YAML file; none = defaults. */
  readonly file?: string
  /** key=value, as of `--set`. */
  readonly set?: readonly string[]
  /** The environment to take TICKD_… from; none = nothing is taken. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

export interface LoadedConfig {
  readonly config: Config
  /** Where each given option comes from; defaults are not in it. */
  readonly origin: Origin
}

const NO_FILE: YamlFile = { tree: {}, origin: new Map(), problems: [] }

/** Loads and checks. Throws CONFIG_INVALID, whose message lists every error. */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const file = options.file === undefined ? NO_FILE : readYamlFile(options.file)
  const origin = new Map(file.origin)
  if (file.problems.length > 0) throwProblems(file.problems, origin)
  const tree = file.tree
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) {
    throwProblems([{ path: [], text: 'must be a mapping of options' }], origin)
  }
  const given = structuredClone(tree) as Record<string, unknown>
  const overrides = [...envOverrides(options.env ?? {}), ...setOverrides(options.set ?? [])]
  const problems = applyOverrides(given, overrides, origin)
  const parsed = configSchema.safeParse(given)
  if (!parsed.success) problems.push(...schemaProblems(parsed.error.issues, given))
  else problems.push(...crossCheck(parsed.data))
  if (problems.length > 0 || !parsed.success) throwProblems(problems, origin)
  return { config: deepFreeze(parsed.data), origin }
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) {
    for (const member of Object.values(value)) deepFreeze(member)
    Object.freeze(value)
  }
  return value
}
