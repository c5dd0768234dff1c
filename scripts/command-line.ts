// The command lines of the developers' commands: each has --help, and says in a line what it does
// not understand.

import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>
interface Config<T extends Options> {
  readonly options: T
  readonly allowPositionals: true
}

/**
 * Values and positionals of the process's command line. `--help` prints the usage and ends the
 * process; so does what the command does not take, with exit code 2. `usage`: lines that end.
 */
export function commandLine<const T extends Options>(
  usage: string,
  options: T,
  { allowPositionals = false } = {},
): ReturnType<typeof parseArgs<Config<T>>> {
  // Whoever reads has had enough: | head.
  process.stdout.once('error', () => process.exit(1))
  if (process.argv.slice(2).includes('--help')) {
    process.stdout.write(usage)
    process.exit(0)
  }
  try {
    // None where they are not allowed: of the same type.
    return parseArgs<Config<T>>({ options, allowPositionals: allowPositionals as true })
  } catch (error) {
    return refuse((error as Error).message, usage)
  }
}

/** Says what is wrong with the command line, and ends the process. */
export function refuse(what: string, usage: string): never {
  process.stderr.write(`${what}\n${usage}`)
  process.exit(2)
}
