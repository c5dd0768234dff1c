// tickd run: the daemon. Sets up what it needs in order, runs until a signal, stops in order.
//
// A second signal, while it stops, ends it at once as kill -9 does: what was acknowledged is
// durable.

import { writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { Command } from 'commander'
import type { Config } from '../config/schema.ts'
import { EarlyWorkers } from '../threads/early-workers.ts'
import { addConfigOptions, type ConfigOptions, loadFromOptions } from './config-options.ts'

/** Exit code when something that had to be drained was not, within the deadline. */
const EXIT_NOT_DRAINED = 1
/** A signal so soon after the first is the same one: terminals and npm both send theirs. */
const SECOND_SIGNAL_MS = 500

export function runCommand(): Command {
  return addConfigOptions(new Command('run'))
    .description('Run the daemon. Without a configuration: embedded stores and synthetic ticks.')
    .addHelpText(
      'after',
      '\nOptions are listed in docs/config.md; TICKD_SERVE__LISTEN__PORT=9000 in the\n' +
        'environment does what --set serve.listen.port=9000 does.\n' +
        'Ctrl-C or SIGTERM stops in order; a second one, at once.',
    )
    .action(async (options: ConfigOptions) => {
      process.exitCode = await runUntilSignal(loadFromOptions(options).config)
    })
}

async function runUntilSignal(config: Config): Promise<number> {
  const stopRequested = Promise.withResolvers<void>()
  let signalledMs = 0
  const onSignal = () => {
    const nowMs = performance.now()
    if (signalledMs === 0) signalledMs = nowMs
    else if (nowMs - signalledMs > SECOND_SIGNAL_MS) killSelf('a second signal')
    stopRequested.resolve()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const early = new EarlyWorkers(config)
  // Loaded while they load.
  const { Daemon } = await import('../daemon.ts')
  const daemon = new Daemon(config, early)
  let late: string[] = []
  try {
    // A signal while starting stops as soon as the start is over: nothing is left half-started.
    await daemon.start()
    // Now: a process that is killed has no end at which Node.js would do it.
    flushCompileCache()
    await Promise.race([stopRequested.promise, daemon.fatal])
  } finally {
    late = await daemon.stop()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    const { stuckThreads } = daemon
    if (stuckThreads.length > 0) killSelf(`threads that do not end: ${stuckThreads.join(', ')}`)
  }
  return late.length > 0 ? EXIT_NOT_DRAINED : 0
}

/** An exit would wait for threads that do not end. Stores of our own see our end, and stop. */
function killSelf(why: string): void {
  writeSync(process.stderr.fd, `tickd: ended at once: ${why}\n`)
  process.kill(process.pid, 'SIGKILL')
}
