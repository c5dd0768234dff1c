// Both doors, and what keeps them: made from the configuration, told of the time.

import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import type { Clock } from '../../clock.ts'
import { errorText, TickdError } from '../../errors.ts'
import { ACCESS_CHECK_MS } from '../../limits.ts'
import type { CounterName } from '../../ops/counter-catalog.ts'
import type { CounterReader, CounterSet } from '../../ops/counters.ts'
import type { Log } from '../../ops/log.ts'
import type { Feed } from '../feed/feed.ts'
import type { HttpHandler, Server } from '../server.ts'
import { Access, type AccessSettings } from './access.ts'
import { AuditLog } from './audit-log.ts'
import { checkCertificate, type TlsFiles } from './certificate.ts'
import { FeedGate } from './feed-gate.ts'
import { HttpGate } from './http-gate.ts'
import type { UsageBoard } from './usage-board.ts'
import { WatchedFile } from './watched-file.ts'

/** What the configuration says of access. */
export interface AccessPlan {
  readonly settings: AccessSettings & { readonly audit_bytes_max: number }
  readonly keysFile: string
  readonly auditFile: string
  /** serve.listen.insecure */
  readonly isInsecure: boolean
  /** undefined = no TLS. */
  readonly tls: TlsFiles | undefined
}

export interface DoorsOptions {
  readonly plan: AccessPlan
  readonly feed: Feed
  readonly http: HttpHandler
  readonly bufferBytes: number
  readonly clock: Clock
  readonly log: Log
  readonly counters: CounterSet<CounterName<'serve'>>
  /** Of the other threads that serve: some limits hold for all together. */
  readonly others: CounterReader<CounterName<'serve'>>
  /** What holders and addresses use, over all threads; this one's part is cleared. */
  readonly usage: UsageBoard
}

export class Doors {
  readonly access: Access
  readonly feed: FeedGate
  readonly http: HttpGate
  readonly #options: DoorsOptions
  readonly #tlsFiles: readonly WatchedFile[]
  #checkedAtMs = 0

  constructor(options: DoorsOptions) {
    const { plan, feed, bufferBytes, clock, log, counters, others, usage, http } = options
    this.#options = options
    const { settings, keysFile, auditFile, isInsecure, tls } = plan
    const directory = path.dirname(auditFile)
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o750 })
    const audit = new AuditLog({
      file: auditFile,
      bytesMax: settings.audit_bytes_max,
      clock,
      log,
      onDrop: (count) => counters.add('audit_dropped', count),
      turnsOver: usage.own === 0,
    })
    usage.clear()
    const judge = { settings, keysFile, isInsecure, audit, usage }
    this.access = new Access({ ...judge, clock, log, counters, others })
    this.feed = new FeedGate({ feed, access: this.access, bufferBytes, clock, counters, others })
    this.http = new HttpGate({ access: this.access, clock, counters, next: http })
    const files = tls === undefined ? [] : [tls.cert_file, tls.key_file]
    this.#tlsFiles = files.map((file) => new WatchedFile(file))
  }

  /** Throws ACCESS_INVALID. */
  start(): void {
    const { plan, log } = this.#options
    this.access.start()
    if (plan.tls !== undefined) log.info({ until: checkCertificate(plan.tls) }, 'TLS is on')
  }

  turn(server: Server): void {
    const nowMs = this.#options.clock.monoMs()
    this.feed.turn(nowMs)
    if (nowMs - this.#checkedAtMs < ACCESS_CHECK_MS) return
    this.#checkedAtMs = nowMs
    // Each is asked, so that one change is not told twice.
    const changed = this.#tlsFiles.filter((file) => file.hasChanged())
    if (changed.length > 0) this.#renewTls(server)
  }

  close(): Promise<void> {
    return this.access.close()
  }

  #renewTls(server: Server): void {
    const { log, counters } = this.#options
    try {
      server.renewTls?.()
      log.info({}, 'the certificate was taken anew')
    } catch (error) {
      if (!(error instanceof TickdError)) throw error
      counters.add('access_file_errors')
      // As a rule half of a change: the other file follows, and is seen to change then.
      log.error({ code: error.code, error: errorText(error) }, 'the certificate stays as it was')
    }
  }
}
