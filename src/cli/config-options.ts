// The options that name a configuration, the same on every command that takes one.

import type { Command } from 'commander'
import { type LoadedConfig, loadConfig } from '../config/load.ts'

export interface ConfigOptions {
  readonly config?: string
  readonly set: readonly string[]
}

/** Adds --config and --set. */
export function addConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'YAML configuration file')
    .option('-s, --set <key=value>', 'set one option, e.g. serve.listen.port=9000', collect, [])
}

/** What the options and the environment say. Throws CONFIG_INVALID. */
export function loadFromOptions({ config, set }: ConfigOptions): LoadedConfig {
  return loadConfig({ ...(config === undefined ? {} : { file: config }), set, env: process.env })
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value]
}
