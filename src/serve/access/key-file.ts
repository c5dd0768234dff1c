// API keys at rest: keys.json in the state directory, mode 0600, written by `tickd key`, read by
// the daemon.
//
// A key is `tk_<id>_<secret>`. The secret is 256 random bits, so SHA-256 of it is enough at rest:
// slow hashes (scrypt, argon2) make guessing of *passwords* dear, and 2^256 cannot be guessed at
// any price; a slow hash would only make each connection a way to burn our CPU. The id is public:
// it names the key in logs and finds it without comparing secrets.

import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { errorText, TickdError } from '../../errors.ts'
import { KEYS_FILE_BYTES_MAX, KEYS_MAX } from '../../limits.ts'
import { type Grant, readGrant } from './grant.ts'

export const KEY_FORM = /^tk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/
const NAME_FORM = /^[\w.@-]{1,64}$/
const HASH_FORM = /^[0-9a-f]{64}$/
const TIME_FORM = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const VERSION = 1

export interface ApiKey {
  readonly id: string
  /** Given by a person; unique among keys that are not revoked. */
  readonly name: string
  /** SHA-256 of the whole key, hex. */
  readonly hash: string
  /** RFC 3339, UTC. */
  readonly created: string
  readonly expires: string | null
  readonly revoked: string | null
  readonly grant: Grant
}

/** A fresh key, as its holder must keep it, and its id. */
export function generateKey(): { id: string; key: string } {
  const id = randomBytes(6).toString('hex')
  return { id, key: `tk_${id}_${randomBytes(32).toString('base64url')}` }
}

export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

export function isKeyName(name: string): boolean {
  return NAME_FORM.test(name)
}

/** The keys of the file; none where it does not exist. Throws ACCESS_INVALID. */
export function readKeyFile(file: string): ApiKey[] {
  if (!existsSync(file)) return []
  try {
    const { size } = statSync(file)
    if (size > KEYS_FILE_BYTES_MAX) throw new Error(`${size} bytes; at most ${KEYS_FILE_BYTES_MAX}`)
    return readKeys(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    const text = `the file of API keys ${file} cannot be used: ${errorText(cause)}`
    throw new TickdError('ACCESS_INVALID', text, { cause })
  }
}

function readKeys(content: unknown): ApiKey[] {
  const { version, keys } = content as { version?: unknown; keys?: unknown }
  if (version !== VERSION || !Array.isArray(keys))
    throw new Error(`it is not of version ${VERSION}`)
  if (keys.length > KEYS_MAX) throw new Error(`${keys.length} keys; at most ${KEYS_MAX}`)
  const seen = new Set<string>()
  return keys.map((key: Record<string, unknown>, index) => {
    const where = `keys[${index}]`
    const { id, name, hash, created, expires, revoked } = key
    if (typeof id !== 'string' || !/^[0-9a-f]{12}$/.test(id) || seen.has(id)) {
      throw new Error(`${where}.id is not a new id`)
    }
    seen.add(id)
    if (typeof name !== 'string' || !isKeyName(name)) throw new Error(`${where}.name is no name`)
    if (typeof hash !== 'string' || !HASH_FORM.test(hash)) {
      throw new Error(`${where}.hash is no SHA-256`)
    }
    const grant = readGrant(key.grant)
    if (typeof grant === 'string') throw new Error(`${where}.grant: ${grant}`)
    return {
      id,
      name,
      hash,
      created: readTime(created, `${where}.created`),
      expires: expires === null ? null : readTime(expires, `${where}.expires`),
      revoked: revoked === null ? null : readTime(revoked, `${where}.revoked`),
      grant,
    }
  })
}

function readTime(value: unknown, where: string): string {
  if (typeof value === 'string' && TIME_FORM.test(value) && Date.parse(value) >= 0) return value
  throw new Error(`${where} is no UTC time with milliseconds`)
}

/**
 * Reads, changes and writes the file, as one: it appears whole or not at all, and a second `tickd
 * key` at the same time is refused. Throws ACCESS_INVALID, IO.
 */
export function changeKeyFile(file: string, change: (keys: ApiKey[]) => ApiKey[]): void {
  const fresh = `${file}.new`
  let fd: number
  try {
    fd = openSync(fresh, 'wx', 0o600)
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    const text = isThere
      ? `${fresh} is there: another tickd key is at work; remove it if there is none`
      : `cannot write ${fresh}: ${errorText(cause)}`
    throw new TickdError('IO', text, { cause })
  }
  try {
    const keys = change(readKeyFile(file))
    if (keys.length > KEYS_MAX) {
      throw new TickdError('USAGE', `at most ${KEYS_MAX} keys: remove revoked ones from the file`)
    }
    writeSync(fd, `${JSON.stringify({ version: VERSION, keys }, undefined, 1)}\n`)
    if (process.getuid?.() === 0) giveTo(path.dirname(file), fd)
    fsyncSync(fd)
    renameSync(fresh, file)
    syncDirectory(path.dirname(file))
  } catch (thrown) {
    rmSync(fresh, { force: true })
    if (thrown instanceof TickdError) throw thrown
    const text = `cannot write ${file}: ${errorText(thrown)}`
    throw new TickdError('IO', text, { cause: thrown })
  } finally {
    closeSync(fd)
  }
}

/** root makes keys for a daemon that is not root: whose directory it is must be able to read it. */
function giveTo(directory: string, fd: number): void {
  const { uid, gid } = statSync(directory)
  fchownSync(fd, uid, gid)
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
