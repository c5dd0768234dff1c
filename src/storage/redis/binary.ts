// Whether there is a Redis to use, and the program of a private one.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Config } from '../../config/schema.ts'

const BINARY_NAMES = ['redis-server', 'valkey-server']

/** False: switched off, or `auto` and there is no redis-server. */
export function hasRedis({ mode }: Config['redis']): boolean {
  return mode !== 'off' && (mode !== 'auto' || findRedisBinary() !== undefined)
}

/** The path of a Redis server's program; undefined when there is none on PATH. */
export function findRedisBinary(path = process.env.PATH ?? ''): string | undefined {
  for (const directory of path.split(delimiter)) {
    for (const name of BINARY_NAMES) {
      const file = join(directory, name)
      if (directory !== '' && canExecute(file)) return file
    }
  }
  return undefined
}

function canExecute(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
