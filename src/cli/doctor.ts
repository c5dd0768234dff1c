// tickd doctor: would the daemon run here, and how well? Exit code 1 when something needed is not.

import { Command } from 'commander'
import { addConfigOptions, type ConfigOptions, loadFromOptions } from './config-options.ts'
import { type Finding, runChecks } from './doctor-checks.ts'

const EXIT_FAILED = 1
const MARKS = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const

export function doctorCommand(): Command {
  return addConfigOptions(new Command('doctor'))
    .description('Check this machine for what the daemon needs.')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', '\nExit code 0 = it would run, 1 = something needed is missing.')
    .action(async (options: ConfigOptions & { json?: true }) => {
      const { config } = loadFromOptions(options)
      const findings = await runChecks(config)
      const failed = findings.some(({ verdict }) => verdict === 'failed')
      process.stdout.write(options.json ? asJson(findings, !failed) : asTable(findings))
      if (failed) process.exitCode = EXIT_FAILED
    })
}

function asJson(findings: readonly Finding[], ok: boolean): string {
  return `${JSON.stringify({ ok, findings }, undefined, 2)}\n`
}

function asTable(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  return findings
    .map(({ check, verdict, text }) => `${MARKS[verdict]}  ${check.padEnd(width)}  ${text}\n`)
    .join('')
}
