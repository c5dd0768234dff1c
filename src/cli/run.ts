// tickd run: the daemon. Sets up what it needs in order, runs until a signal, stops in order.

import { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { Daemon } from '../daemon.ts'

/** Exit code when something that had to be drained was not, within the deadline. */
const EXIT_NOT_DRAINED = 1

export function runCommand(): Command {
  return new Command('run')
    .description('Run the daemon. Without a configuration: embedded stores and synthetic ticks.')
    .option('-c, --config <file>', 'YAML configuration file')
    .option('-s, --set <key=value>', 'set one option, e.g. serve.listen.port=9000', collect, [])
    .addHelpText(
      'after',
      '\nAll options are in docs/config.md; TICKD_SERVE__LISTEN__PORT=9000 in the environment\n' +
        'does what --set serve.listen.port=9000 does. Ctrl-C or SIGTERM stops in order.',
    )
    .action(async (options: { config?: string; set: string[] }) => {
      const { config } = loadConfig({
        ...(options.config === undefined ? {} : { file: options.config }),
        set: options.set,
        env: process.env,
      })
      process.exitCode = await runUntilSignal(config)
    })
}

async function runUntilSignal(config: ReturnType<typeof loadConfig>['config']): Promise<number> {
  const stopRequested = Promise.withResolvers<string>()
  const onSignal = (signal: string) => stopRequested.resolve(signal)
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const daemon = new Daemon(config)
  try {
    // A signal while starting stops as soon as the start is over: nothing is left half-started.
    await daemon.start()
    await Promise.race([stopRequested.promise, daemon.fatal])
  } finally {
    const late = await daemon.stop()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    if (late.length > 0) process.exitCode = EXIT_NOT_DRAINED
  }
  return Number(process.exitCode ?? 0)
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value]
}
