// API keys in memory: who holds this key? Compares digests in constant time.

import { timingSafeEqual } from 'node:crypto'
import { type ApiKey, hashKey, KEY_FORM } from './key-file.ts'

/** What an unknown id is compared with, so that it takes as long as a known one. */
const NOBODY = hashKey('')

export class KeyRing {
  readonly #byId = new Map<string, { key: ApiKey; digest: Buffer }>()

  constructor(keys: readonly ApiKey[]) {
    for (const key of keys) this.#byId.set(key.id, { key, digest: Buffer.from(key.hash, 'hex') })
  }

  get size(): number {
    return this.#byId.size
  }

  /** The key that `token` is; undefined when it is none, has expired or was revoked. */
  find(token: string, nowMs: number): ApiKey | undefined {
    const id = KEY_FORM.exec(token)?.[1]
    if (id === undefined) return undefined
    const entry = this.#byId.get(id)
    const isRight = timingSafeEqual(hashKey(token), entry?.digest ?? NOBODY)
    return isRight && entry !== undefined && isAlive(entry.key, nowMs) ? entry.key : undefined
  }

  /** Whether the key still is what it was when it was found. */
  holds(key: ApiKey, nowMs: number): boolean {
    const known = this.#byId.get(key.id)?.key
    if (known === undefined || known.hash !== key.hash || !isAlive(known, nowMs)) return false
    return JSON.stringify(known.grant) === JSON.stringify(key.grant)
  }
}

function isAlive({ expires, revoked }: ApiKey, nowMs: number): boolean {
  return revoked === null && (expires === null || Date.parse(expires) > nowMs)
}
