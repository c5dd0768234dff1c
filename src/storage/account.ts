// Whom an embedded server runs as, and whether that account can reach what it needs.
//
// PostgreSQL refuses to run as root. When we are root, it runs as the owner of its data directory,
// or as `postgres`, or as `nobody`; otherwise as ourselves.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { TickdError } from '../errors.ts'

export interface Account {
  name: string
  uid: number
  gid: number
}

const PASSWD = '/etc/passwd'
const CANDIDATES = ['postgres', 'nobody']

/** The account for a server on `dataDirectory`; undefined = no change of account. */
export function serverAccount(dataDirectory: string): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = readAccounts()
  if (existsSync(dataDirectory)) {
    const { uid } = statSync(dataDirectory)
    const owner = accounts.find((account) => account.uid === uid)
    if (owner !== undefined && uid !== 0) return owner
  }
  for (const name of CANDIDATES) {
    const account = accounts.find((candidate) => candidate.name === name)
    if (account !== undefined) return account
  }
  throw new TickdError(
    'POSTGRES_REFUSED',
    'the embedded PostgreSQL does not run as root, and there is no account postgres or nobody ' +
      'to run it; create one (useradd --system postgres), or run tickd as an ordinary user',
  )
}

/** Throws STATE_DIR_UNUSABLE, naming the directory that bars the way, when there is one. */
export function assertReachable(directory: string, account: Account | undefined): void {
  if (account === undefined || canEnter(directory, account)) return
  let barred = directory
  for (let above = dirname(barred); !canEnter(above, account); above = dirname(barred)) {
    barred = above
    if (above === dirname(above)) break
  }
  throw new TickdError(
    'STATE_DIR_UNUSABLE',
    `${directory}: the embedded PostgreSQL runs as ${account.name}, which may not enter ` +
      `${barred}; run "chmod o+x ${barred}", or set state_dir to a directory elsewhere ` +
      '(such as /var/lib/tickd), or run tickd as an ordinary user',
  )
}

/** True when the account can run this program. */
export function canRun(path: string, args: string[], account: Account | undefined): boolean {
  const identity = account === undefined ? {} : { uid: account.uid, gid: account.gid }
  return spawnSync(path, args, { cwd: '/', stdio: 'ignore', ...identity }).status === 0
}

function canEnter(directory: string, account: Account): boolean {
  return canRun('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], account)
}

function readAccounts(): Account[] {
  return readFileSync(PASSWD, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name, , uid, gid]) => ({ name: name as string, uid: Number(uid), gid: Number(gid) }))
}
