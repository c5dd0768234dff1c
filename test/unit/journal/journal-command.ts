// `tickd journal …` on its own, with main.ts's exit codes: one command, without loading the rest.

import { CommanderError } from 'commander'
import { journalCommand } from '../../../src/cli/journal.ts'
import { TickdError } from '../../../src/errors.ts'

const command = journalCommand()
for (const one of [command, ...command.commands]) one.exitOverride()

try {
  await command.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = 2
  else if (error instanceof TickdError) {
    process.stderr.write(`tickd: ${error.message} [${error.code}]\n`)
    process.exitCode = error.code === 'USAGE' ? 2 : 1
  } else throw error
}
