// The command line: tickd <command>. Each command is a file in cli/.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. A TickdError is one line on stderr;
// anything else is a bug and shows its stack.

import { Command, CommanderError } from 'commander'
import { checkConfigCommand } from './cli/check-config.ts'
import { decodeCommand } from './cli/decode.ts'
import { doctorCommand } from './cli/doctor.ts'
import { generateCommand } from './cli/generate.ts'
import { journalCommand } from './cli/journal.ts'
import { profileCommand } from './cli/profile.ts'
import { replayCommand } from './cli/replay.ts'
import { runCommand } from './cli/run.ts'
import { TickdError } from './errors.ts'
import { VERSION } from './version.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

const program = new Command('tickd')
  .description('Market-data daemon: ticks in, none lost silently, stored and served live.')
  .version(VERSION)
  .showHelpAfterError('(tickd --help, or tickd <command> --help, tells more)')
  .addCommand(runCommand())
  .addCommand(checkConfigCommand())
  .addCommand(decodeCommand())
  .addCommand(replayCommand())
  .addCommand(generateCommand())
  .addCommand(journalCommand())
  .addCommand(profileCommand())
  .addCommand(doctorCommand())

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
