// The command line: tickd <command>. Each command is a file in cli/.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. A TickdError is one line on stderr;
// anything else is a bug and shows its stack.

import { Command, CommanderError } from 'commander'
import { TickdError } from './errors.ts'
import { VERSION } from './version.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** Loaded when asked for: `decode` has no use for a database. In the order of --help. */
const COMMANDS = new Map<string, () => Promise<Command>>([
  ['run', async () => (await import('./cli/run.ts')).runCommand()],
  ['check-config', async () => (await import('./cli/check-config.ts')).checkConfigCommand()],
  ['decode', async () => (await import('./cli/decode.ts')).decodeCommand()],
  ['replay', async () => (await import('./cli/replay.ts')).replayCommand()],
  ['generate', async () => (await import('./cli/generate.ts')).generateCommand()],
  ['journal', async () => (await import('./cli/journal.ts')).journalCommand()],
  ['ledger', async () => (await import('./cli/ledger.ts')).ledgerCommand()],
  ['dlq', async () => (await import('./cli/dlq.ts')).dlqCommand()],
  ['key', async () => (await import('./cli/key.ts')).keyCommand()],
  ['profile', async () => (await import('./cli/profile.ts')).profileCommand()],
  ['doctor', async () => (await import('./cli/doctor.ts')).doctorCommand()],
])

const program = new Command('tickd')
  .description('Market-data daemon: ticks in, none lost silently, stored and served live.')
  .version(VERSION)
  .showHelpAfterError('(tickd --help, or tickd <command> --help, tells more)')

const [asked = ''] = process.argv.slice(2)
const load = COMMANDS.get(asked)
for (const make of load === undefined ? COMMANDS.values() : [load]) {
  program.addCommand(await make())
}
for (const command of [
  program,
  ...program.commands,
  ...program.commands.flatMap((c) => c.commands),
]) {
  command.exitOverride()
}

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version are not failures.
    return error.exitCode === 0 ? 0 : EXIT_USAGE
  }
  if (error instanceof TickdError) {
    process.stderr.write(`tickd: ${error.message} [${error.code}]\n`)
    return error.code === 'USAGE' || error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILED
  }
  const stack = error instanceof Error ? error.stack : String(error)
  process.stderr.write(`tickd: this is a bug: ${stack}\n`)
  return EXIT_FAILED
}
