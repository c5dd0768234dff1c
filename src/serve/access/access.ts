// Who may connect: keys, tokens, origins and addresses, as the configuration demands them.
//
// Decides, and remembers what each holder and address uses; gate.ts asks it at each door. Files of
// keys are looked at once a second; one that cannot be read leaves the keys before in force, and is
// an error in the log: a slip of the editor must not shut everybody out, nor let anybody in.

import type { Clock } from '../../clock.ts'
import { errorText, TickdError } from '../../errors.ts'
import { ACCESS_CHECK_MS, HOLDERS_MAX, TOKEN_LENGTH_MAX } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterReader, CounterSet } from '../../ops/counters.ts'
import type { Log } from '../../ops/log.ts'
import type { FeedRefusal, Visit } from '../server.ts'
import { Addresses, type AddressUse, isLoopback, readableAddress } from './addresses.ts'
import type { AuditLog, Decision } from './audit-log.ts'
import type { Grant, HolderLimits } from './grant.ts'
import { Holder } from './holder.ts'
import { readKeyFile } from './key-file.ts'
import { KeyRing } from './key-ring.ts'
import { isOriginAllowed } from './origin.ts'
import { Pass } from './pass.ts'
import { badToken, forbidden, tooMuch } from './refusal.ts'
import type { UsageBoard } from './usage-board.ts'
import { WatchedFile } from './watched-file.ts'
import { type WebToken, type WebTokenSettings, WebTokens } from './web-tokens.ts'

/** The `access` section of the configuration. */
export interface AccessSettings {
  readonly keys: boolean
  readonly jwt: WebTokenSettings
  readonly metrics_open: boolean
  readonly token_in_query: boolean
  readonly auth_ms: number
  readonly origins: readonly string[]
  readonly connections_max: number
  readonly address_connects_per_second: number
  readonly address_subscribers_max: number
  readonly limits: HolderLimits
}

export interface AccessOptions {
  readonly settings: AccessSettings
  readonly keysFile: string
  /** The listener may be reached by anybody, on purpose. */
  readonly isInsecure: boolean
  readonly audit: AuditLog
  readonly clock: Clock
  readonly log: Log
  readonly counters: CounterSet<CounterName<'serve'>>
  /** Of the other threads that serve: some limits hold for all together. */
  readonly others: CounterReader<CounterName<'serve'>>
  readonly usage: UsageBoard
}

/** Checks of signatures under way: they take a thread of the pool each. */
const VERIFYING_MAX = 256

export class Access {
  readonly settings: AccessSettings
  readonly #options: AccessOptions
  readonly #tokens: WebTokens
  readonly #addresses: Addresses
  readonly #holders = new Map<string, Holder>()
  readonly #keyFile: WatchedFile
  readonly #tokenFile: WatchedFile | undefined
  #ring = new KeyRing([])
  #checkedAtMs = Number.NEGATIVE_INFINITY
  #verifying = 0

  constructor(options: AccessOptions) {
    const { settings, keysFile } = options
    this.#options = options
    this.settings = settings
    this.#tokens = new WebTokens(settings.jwt)
    this.#addresses = new Addresses(settings.address_connects_per_second, options.usage)
    this.#keyFile = new WatchedFile(keysFile)
    const jwks = settings.jwt.jwks_file
    this.#tokenFile = jwks === '' ? undefined : new WatchedFile(jwks)
  }

  /** A key or token is needed. */
  get isDemanded(): boolean {
    return this.settings.keys || this.#tokens.isOn
  }

  /** Throws ACCESS_INVALID where there is nothing to judge by. */
  start(): void {
    if (this.settings.keys) this.#ring = new KeyRing(readKeyFile(this.#options.keysFile))
    this.#tokens.load()
    if (this.settings.keys && this.#ring.size === 0 && !this.#tokens.isOn) {
      const { keysFile, log } = this.#options
      log.warn({ file: keysFile }, 'there are no API keys yet: tickd key create makes one')
    }
  }

  /** Looks at the files now and then. True: passes that were given may hold no longer. */
  turn(nowMs: number): boolean {
    this.#options.audit.turn(nowMs)
    if (nowMs - this.#checkedAtMs < ACCESS_CHECK_MS) return false
    this.#checkedAtMs = nowMs
    this.#forgetHolders(nowMs)
    if (this.settings.keys && this.#keyFile.hasChanged()) {
      this.#renew('keys', () => {
        this.#ring = new KeyRing(readKeyFile(this.#options.keysFile))
      })
    }
    if (this.#tokenFile?.hasChanged()) this.#renew('jwks', () => this.#tokens.load())
    return true
  }

  /** Whether a pass that was given is still good. */
  holds({ key, expiresAtMs }: Pass): boolean {
    const nowMs = this.wallMs()
    return expiresAtMs > nowMs && (key === undefined || this.#ring.holds(key, nowMs))
  }

  /** Of a connection that has just come, as one of `count` of this thread. */
  connects(text: string, count: number): boolean {
    const { clock, others } = this.#options
    if (count + others.get('connections') > this.settings.connections_max) {
      return this.#tooMany(text, `more than ${this.settings.connections_max} connections`)
    }
    const address = readableAddress(text)
    if (isLoopback(address)) return true
    if (this.#addresses.use(address).connects.take(1, clock.monoMs()) === 0) return true
    return this.#tooMany(text, 'connects too often')
  }

  /** A page of somebody else's; undefined = there is nothing against it. */
  originRefusal({ origin, host }: Visit): FeedRefusal | undefined {
    const { origins } = this.settings
    const rule = { origins, isDemanded: this.isDemanded, isInsecure: this.#options.isInsecure }
    if (isOriginAllowed(origin, host, rule)) return undefined
    return forbidden('pages of this origin may not connect; access.origins names those that may')
  }

  /** The counts of an address; undefined = it is not limited. */
  addressUse(address: string): AddressUse | undefined {
    return isLoopback(address) ? undefined : this.#addresses.use(address)
  }

  /** The token of a request; '' = none. */
  tokenOf({ authorization, queryToken }: Visit): string {
    const [scheme = '', token = ''] = authorization.split(' ')
    if (scheme.toLowerCase() === 'bearer') return token
    return this.settings.token_in_query ? queryToken : ''
  }

  /** Answers at once, but for a JSON Web Token that it has not seen lately. */
  authenticate(
    token: string,
    address: string,
    answer: (verdict: Pass | FeedRefusal, why: string) => void,
  ): void {
    const failures = this.addressUse(address)?.failures
    const waitMs = failures?.waitMs(this.#monoMs()) ?? 0
    if (waitMs > 0) {
      answer(tooMuch('too many wrong tokens from this address', waitMs), 'too many wrong tokens')
      return
    }
    const fail = (why: string) => {
      failures?.charge(1, this.#monoMs())
      answer(badToken(), why)
    }
    if (token.length > TOKEN_LENGTH_MAX) fail('the token is too long')
    else if (this.#tokens.isToken(token)) this.#checkWebToken(token, address, answer, fail)
    else this.#checkKey(token, address, answer, fail)
  }

  #checkKey(
    token: string,
    address: string,
    answer: (verdict: Pass | FeedRefusal, why: string) => void,
    fail: (why: string) => void,
  ): void {
    const key = this.settings.keys ? this.#ring.find(token, this.wallMs()) : undefined
    if (key === undefined) {
      fail('no such key')
      return
    }
    const { id, name, grant, expires } = key
    const holder = this.#holder(`key:${id}`, grant)
    if (holder === undefined) {
      answer(tooMuch('too many holders of keys at once', ACCESS_CHECK_MS), 'too many holders')
      return
    }
    const expiresAtMs = expires === null ? Number.POSITIVE_INFINITY : Date.parse(expires)
    const who = `key:${id}:${name}`
    answer(new Pass({ who, grant, holder, key, expiresAtMs, address }), '')
  }

  #checkWebToken(
    text: string,
    address: string,
    answer: (verdict: Pass | FeedRefusal, why: string) => void,
    fail: (why: string) => void,
  ): void {
    const take = ({ subject, grant, expiresAtMs }: WebToken) => {
      const holder = this.#holder(`jwt:${subject}`, grant)
      if (holder === undefined) {
        answer(tooMuch('too many holders of tokens at once', ACCESS_CHECK_MS), 'too many holders')
      } else answer(new Pass({ who: `jwt:${subject}`, grant, holder, expiresAtMs, address }), '')
    }
    const known = this.#tokens.recall(text, this.wallMs())
    if (known !== undefined) {
      take(known)
      return
    }
    if (this.#verifying >= VERIFYING_MAX) {
      answer(tooMuch('too many tokens at once', ACCESS_CHECK_MS), 'too many tokens at once')
      return
    }
    this.#verifying++
    // Never rejects.
    void this.#tokens.verify(text, this.wallMs()).then((token) => {
      this.#verifying--
      if ('why' in token) fail(token.why)
      else take(token)
    })
  }

  note(decision: Decision): void {
    this.#options.audit.note(decision)
  }

  wallMs(): number {
    const { clock } = this.#options
    clock.read()
    return clock.sec * 1000 + clock.nsec / 1e6
  }

  close(): Promise<void> {
    return this.#options.audit.close()
  }

  #holder(name: string, grant: Grant): Holder | undefined {
    const limits = { ...this.settings.limits, ...grant.limits }
    const known = this.#holders.get(name)
    if (known !== undefined) {
      known.limit(limits)
      return known
    }
    const isFull = this.#holders.size >= HOLDERS_MAX
    const place = isFull ? undefined : this.#options.usage.place(name)
    if (place === undefined) return undefined
    const holder = new Holder(limits, place)
    this.#holders.set(name, holder)
    return holder
  }

  #forgetHolders(nowMs: number): void {
    for (const [name, holder] of this.#holders) {
      if (!holder.isIdle(nowMs)) continue
      this.#holders.delete(name)
      holder.release()
    }
  }

  #renew(what: string, read: () => void): void {
    const { log, counters } = this.#options
    try {
      read()
      log.info({ what, keys: this.#ring.size }, 'access: taken anew')
      this.note({ decision: 'note', who: 'daemon', address: '', what, why: 'taken anew' })
    } catch (error) {
      if (!(error instanceof TickdError)) throw error
      counters.add('access_file_errors')
      log.error({ what, code: error.code, error: errorText(error) }, 'access: left as it was')
    }
  }

  #tooMany(text: string, why: string): false {
    this.#options.counters.add('access_limited')
    const address = readableAddress(text)
    this.note({ decision: 'deny', who: 'unknown', address, what: 'connection', why })
    return false
  }

  #monoMs(): number {
    return this.#options.clock.monoMs()
  }
}
