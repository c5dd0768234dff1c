// tickd check-config: would the daemon start with this configuration? For people and ExecStartPre.

import { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { hideCredentials } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description('Check a configuration; print every error with its path.')
    .option('-c, --config <file>', 'YAML configuration file')
    .option('-s, --set <key=value>', 'set one option, as for run', collect, [])
    .option('--json', 'print the configuration in effect, secrets hidden')
    .addHelpText('after', '\nExit code 0 = it is right, 2 = it is not; the errors are on stderr.')
    .action((options: { config?: string; set: string[]; json?: true }) => {
      const { config } = loadConfig({
        ...(options.config === undefined ? {} : { file: options.config }),
        set: options.set,
        env: process.env,
      })
      const from = options.config ?? 'the defaults'
      const names = config.sources.map((source) => source.name).join(', ')
      process.stdout.write(options.json ? shownConfig(config) : `ok: ${from}; sources: ${names}\n`)
    })
}

/** The configuration as JSON. Secrets are in files, but an address may carry a password. */
export function shownConfig(config: Config): string {
  const show = (_key: string, value: unknown) =>
    typeof value === 'string' ? hideCredentials(value) : value
  return `${JSON.stringify(config, show, 2)}\n`
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value]
}
