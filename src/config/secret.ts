// Secrets are in files, whose paths are configuration; the content is never printed or logged.

import { readFileSync, statSync } from 'node:fs'
import { errorText, TickdError } from '../errors.ts'
import { KIB } from '../limits.ts'

const SECRET_BYTES_MAX = 4 * KIB

/** The content of a secret's file, without the white space around it. Throws CONFIG_INVALID. */
export function readSecret(path: string): string {
  let text: string
  try {
    const stat = statSync(path)
    if (!stat.isFile()) throw new Error('it is not a file')
    if (stat.size > SECRET_BYTES_MAX) throw new Error(`it is longer than ${SECRET_BYTES_MAX} bytes`)
    text = readFileSync(path, 'utf8').trim()
    if (text === '') throw new Error('it is empty')
  } catch (error) {
    const message = `the secret file ${path} cannot be used: ${errorText(error)}`
    throw new TickdError('CONFIG_INVALID', message, { cause: error })
  }
  return text
}
