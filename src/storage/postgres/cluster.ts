// Making a PostgreSQL cluster, and opening one whose password was lost.

import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TickdError } from '../../errors.ts'
import type { Account } from '../account.ts'
import { identity } from '../server-process.ts'

export interface Cluster {
  /** Where initdb and postgres are. */
  bin: string
  /** The cluster is `data` below it. */
  directory: string
  account: Account | undefined
  /** Superuser. */
  user: string
}

/** The major version that made the cluster; undefined when there is none. */
export function readClusterVersion(dataDirectory: string): string | undefined {
  const path = join(dataDirectory, 'PG_VERSION')
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

/** Makes the cluster beside its place and moves it there whole: a crash leaves no half of one. */
export function initCluster(cluster: Cluster, password: string): void {
  const { directory, account, user } = cluster
  const partial = join(directory, 'data.partial')
  const passwordPath = join(directory, 'password.initdb')
  rmSync(partial, { recursive: true, force: true })
  writeFileSync(passwordPath, password, { mode: 0o600 })
  if (account !== undefined) chownSync(passwordPath, account.uid, account.gid)
  const args = ['-D', partial, '-U', user, '--encoding=UTF8', '--locale=C']
  args.push('--auth=scram-sha-256', `--pwfile=${passwordPath}`)
  try {
    run(cluster, 'initdb', args)
    renameSync(partial, join(directory, 'data'))
  } finally {
    rmSync(passwordPath, { force: true })
  }
}

/** Sets the superuser's password while the server is stopped. */
export function setPassword(cluster: Cluster, password: string): void {
  const args = ['--single', '-D', join(cluster.directory, 'data'), 'postgres']
  run(cluster, 'postgres', args, `ALTER ROLE ${cluster.user} PASSWORD '${password}'\n`)
}

function run(cluster: Cluster, program: string, args: string[], input = ''): void {
  const { status, stderr, error } = spawnSync(join(cluster.bin, program), args, {
    cwd: cluster.directory,
    encoding: 'utf8',
    input,
    env: { ...process.env, LC_ALL: 'C' },
    ...identity(cluster.account),
  })
  if (status === 0) return
  const said = (error?.message ?? stderr).trim().split('\n').slice(-3).join(' | ')
  throw new TickdError(
    'POSTGRES_BROKEN',
    `${program} failed on ${cluster.directory}: ${said}`,
    error === undefined ? {} : { cause: error },
  )
}
