// tickd check-config: would the daemon start with this configuration? For people and ExecStartPre.

import { Command } from 'commander'
import { hideCredentials } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { addConfigOptions, type ConfigOptions, loadFromOptions } from './config-options.ts'

export function checkConfigCommand(): Command {
  return addConfigOptions(new Command('check-config'))
    .description('Check a configuration; print every error with its path.')
    .option('--json', 'print the configuration in effect, secrets hidden')
    .addHelpText('after', '\nExit code 0 = it is right, 2 = it is not; the errors are on stderr.')
    .action((options: ConfigOptions & { json?: true }) => {
      const { config } = loadFromOptions(options)
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
