// JSON Web Tokens: signature, issuer, audience, time and claim checked; what is right is remembered
// for a minute, so that a client with many requests costs one signature check.
//
// The keys come from a JWKS: a file, read anew when it changes, or an address, which jose asks
// again when a token names a key that it does not know (at most every half minute).

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { JWTVerifyGetKey } from 'jose'
import { errorText, TickdError } from '../../errors.ts'
import { JWKS_AGE_MS_MAX, JWKS_ANSWER_MS_MAX } from '../../limits.ts'
import { type Grant, readGrant } from './grant.ts'

export interface WebTokenSettings {
  readonly jwks_file: string
  readonly jwks_url: string
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly string[]
  readonly claim: string
  readonly leeway_ms: number
}

export interface WebToken {
  readonly subject: string
  readonly grant: Grant
  readonly expiresAtMs: number
}

/** Why a token is not taken, for the audit log; clients are told less. */
export interface BadWebToken {
  readonly why: string
}

const REMEMBER_MS = 60_000
const REMEMBERED_MAX = 10_000
const SUBJECT_LENGTH_MAX = 128
/** Header, payload, signature. */
const FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/

export class WebTokens {
  readonly #settings: WebTokenSettings
  readonly #remembered = new Map<string, { token: WebToken; untilMs: number }>()
  #keys: Promise<JWTVerifyGetKey> | undefined

  constructor(settings: WebTokenSettings) {
    this.#settings = settings
  }

  get isOn(): boolean {
    return this.#settings.jwks_file !== '' || this.#settings.jwks_url !== ''
  }

  /** Takes the keys anew. Throws ACCESS_INVALID; then the ones before stay. */
  load(): void {
    if (!this.isOn) return
    const { jwks_file: file, jwks_url: url } = this.#settings
    if (file === '') {
      this.#keys = import('jose').then(({ createRemoteJWKSet }) =>
        createRemoteJWKSet(new URL(url), {
          cacheMaxAge: JWKS_AGE_MS_MAX,
          timeoutDuration: JWKS_ANSWER_MS_MAX,
        }),
      )
      return
    }
    const set = readKeySet(file)
    this.#keys = import('jose').then(({ createLocalJWKSet }) => createLocalJWKSet(set))
    this.#remembered.clear()
  }

  isToken(text: string): boolean {
    return this.isOn && FORM.test(text)
  }

  /** What is known of a token that was right a moment ago. */
  recall(text: string, nowMs: number): WebToken | undefined {
    const name = nameOf(text)
    const known = this.#remembered.get(name)
    if (known === undefined) return undefined
    if (nowMs < known.untilMs) return known.token
    this.#remembered.delete(name)
    return undefined
  }

  /** Never rejects. */
  async verify(text: string, nowMs: number): Promise<WebToken | BadWebToken> {
    try {
      const token = await this.#verify(text, nowMs)
      const untilMs = Math.min(token.expiresAtMs, nowMs + REMEMBER_MS)
      const [oldest] = this.#remembered.keys()
      if (this.#remembered.size >= REMEMBERED_MAX && oldest !== undefined) {
        this.#remembered.delete(oldest)
      }
      this.#remembered.set(nameOf(text), { token, untilMs })
      return token
    } catch (thrown) {
      return { why: errorText(thrown) }
    }
  }

  async #verify(text: string, nowMs: number): Promise<WebToken> {
    const { issuer, audience, algorithms, claim, leeway_ms: leewayMs } = this.#settings
    const { jwtVerify } = await import('jose')
    const keys = await this.#keys
    if (keys === undefined) throw new Error('there are no keys')
    const { payload } = await jwtVerify(text, keys, {
      issuer,
      audience,
      algorithms: [...algorithms],
      clockTolerance: leewayMs / 1000,
      currentDate: new Date(nowMs),
      requiredClaims: ['exp', 'sub'],
    })
    const { sub = '', exp = 0 } = payload
    if (sub === '' || sub.length > SUBJECT_LENGTH_MAX) throw new Error('sub is empty or too long')
    const grant = readGrant(payload[claim] ?? {})
    if (typeof grant === 'string') throw new Error(`claim ${claim}: ${grant}`)
    return { subject: sub, grant, expiresAtMs: exp * 1000 + leewayMs }
  }
}

function nameOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

function readKeySet(file: string) {
  try {
    const set = JSON.parse(readFileSync(file, 'utf8')) as { keys?: unknown }
    if (!Array.isArray(set.keys) || set.keys.length === 0) throw new Error('it has no "keys"')
    if (set.keys.some((key) => typeof key !== 'object' || key === null || 'd' in key)) {
      throw new Error('it must have public keys only')
    }
    return { keys: set.keys }
  } catch (cause) {
    const text = `the JWKS ${file} cannot be used: ${errorText(cause)}`
    throw new TickdError('ACCESS_INVALID', text, { cause })
  }
}
