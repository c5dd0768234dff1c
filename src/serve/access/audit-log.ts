// The audit log: who was let in or refused, to what, and why. JSON lines, mode 0600.
//
// Bounded in every direction: the same decision again within a minute is counted and written as one
// line; different ones, and text that waits for the disk, have a limit beyond which they are
// counted (`audit_dropped`); two files, of half the budget each. Written without waiting, as the
// thread that decides also serves. A token never appears in it. Where several threads serve, all
// append to the one file, whole lines in one write; the first of them turns it over.

import { appendFile, appendFileSync, chmodSync, existsSync, renameSync, statSync } from 'node:fs'
import type { Clock } from '../../clock.ts'
import { errorText } from '../../errors.ts'
import {
  ACCESS_CHECK_MS,
  AUDIT_BUFFER_LENGTH_MAX,
  AUDIT_DECISIONS_MAX,
  AUDIT_REPEAT_MS,
} from '../../limits.ts'
import type { Log } from '../../ops/log.ts'
import { formatTime } from '../../tick/time.ts'

export interface Decision {
  readonly decision: 'allow' | 'deny' | 'close' | 'note'
  /** `key:<id>:<name>`, `jwt:<subject>`, `anonymous`, `unknown`, `daemon`. */
  readonly who: string
  readonly address: string
  /** `feed`, `GET /v1/trades`, `subscribe trades`, `keys`. */
  readonly what: string
  /** '' where it was simply right. */
  readonly why: string
}

export interface AuditLogOptions {
  readonly file: string
  readonly bytesMax: number
  readonly clock: Clock
  readonly log: Log
  readonly onDrop: (count: number) => void
  /** It turns the file over when that is full; one of those who write it does. */
  readonly turnsOver: boolean
}

interface Repeated {
  readonly decision: Decision
  readonly sinceMs: number
  count: number
}

const MODE = 0o600
const TEXT_LENGTH_MAX = 256

export class AuditLog {
  readonly #options: AuditLogOptions
  /** Decisions of the last minute, the oldest first. */
  readonly #recent = new Map<string, Repeated>()
  #text = ''
  #lookedAtMs = Number.NEGATIVE_INFINITY
  /** The write under way. */
  #writing: Promise<void> | undefined
  #hasFailed = false

  constructor(options: AuditLogOptions) {
    this.#options = options
    const { file } = options
    if (existsSync(file)) chmodSync(file, MODE)
  }

  note(decision: Decision): void {
    const key = JSON.stringify(decision)
    const known = this.#recent.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    if (this.#recent.size >= AUDIT_DECISIONS_MAX) {
      this.#options.onDrop(1)
      return
    }
    this.#recent.set(key, { decision, sinceMs: this.#options.clock.monoMs(), count: 0 })
    this.#write(decision, 0)
  }

  /** Closes what is a minute old, and hands text to the disk. */
  turn(nowMs: number): void {
    for (const [key, { decision, sinceMs, count }] of this.#recent) {
      if (nowMs - sinceMs < AUDIT_REPEAT_MS) break
      this.#recent.delete(key)
      if (count > 0) this.#write(decision, count)
    }
    this.#turnOver(nowMs)
    if (this.#text === '' || this.#writing !== undefined) return
    const { file } = this.#options
    const text = this.#text
    this.#text = ''
    this.#writing = new Promise((resolve) => {
      appendFile(file, text, { mode: MODE }, (error) => {
        this.#writing = undefined
        this.#wrote(text, error)
        resolve()
      })
    })
  }

  /** Writes all that there is. */
  async close(): Promise<void> {
    await this.#writing
    for (const { decision, count } of this.#recent.values()) {
      if (count > 0) this.#write(decision, count)
    }
    this.#recent.clear()
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    try {
      appendFileSync(this.#options.file, text, { mode: MODE })
    } catch (error) {
      this.#wrote(text, error as Error)
    }
  }

  #write({ decision, who, address, what, why }: Decision, repeats: number): void {
    if (this.#text.length >= AUDIT_BUFFER_LENGTH_MAX) {
      this.#options.onDrop(1 + repeats)
      return
    }
    const { clock } = this.#options
    clock.read()
    const line = {
      time: formatTime(clock.sec, clock.nsec),
      decision,
      who: who.slice(0, TEXT_LENGTH_MAX),
      address,
      what: what.slice(0, TEXT_LENGTH_MAX),
      ...(why === '' ? {} : { why: why.slice(0, TEXT_LENGTH_MAX) }),
      ...(repeats === 0 ? {} : { repeats }),
    }
    this.#text += `${JSON.stringify(line)}\n`
  }

  /**
   * The full file becomes the old one; what was older goes. What others are just writing goes with
   * it, whole. Looked at now and then, as others write it too.
   */
  #turnOver(nowMs: number): void {
    const { file, bytesMax, turnsOver } = this.#options
    if (!turnsOver || nowMs - this.#lookedAtMs < ACCESS_CHECK_MS) return
    this.#lookedAtMs = nowMs
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
    if (size < bytesMax / 2) return
    try {
      renameSync(file, `${file}.1`)
    } catch (error) {
      this.#options.log.warn({ file, error: errorText(error) }, 'the audit log cannot be rotated')
    }
  }

  #wrote(text: string, error: Error | null): void {
    const { log, file, onDrop } = this.#options
    if (error === null) {
      this.#hasFailed = false
      return
    }
    onDrop(text.split('\n').length - 1)
    // Once, not at each line of a disk that is full.
    if (!this.#hasFailed) log.error({ file, error: errorText(error) }, 'the audit log is refused')
    this.#hasFailed = true
  }
}
