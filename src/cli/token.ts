// The key of a command that asks a running daemon: the content of the file that TICKD_TOKEN_FILE
// names. Not an option, as the arguments of a process are seen by everybody on the machine.

import { readSecret } from '../config/secret.ts'

/** Throws CONFIG_INVALID when the file cannot be read. */
export function tokenHeaders(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const file = env.TICKD_TOKEN_FILE ?? ''
  return file === '' ? {} : { authorization: `Bearer ${readSecret(file)}` }
}
