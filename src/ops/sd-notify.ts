// Tells systemd how the daemon is: READY=1, STATUS=…, WATCHDOG=1, STOPPING=1 (sd_notify(3)).
//
// One datagram to the socket that NOTIFY_SOCKET names; nothing at all when it is not set. The
// addon sends it: Node has no unix datagram sockets. Without the addon `systemd-notify` is run,
// which costs a process each time (the unit allows it: NotifyAccess=all). What cannot be said is
// logged once, and the daemon goes on.
//
// WATCHDOG=1 is said at a third of what systemd allows, and only while every thread moves on: when
// one does not and cannot be ended, systemd ends the daemon and starts it anew.

import { spawn } from 'node:child_process'
import { errorText } from '../errors.ts'
import { SD_STATUS_MS } from '../limits.ts'
import type { Log } from './log.ts'

/** Of the time that systemd allows between two signs of life. */
const WATCHDOG_SHARE = 1 / 3
const US_PER_MS = 1000
/** Beside the deadline of a drain: what stores and threads may take to end after it. */
const STOP_SLACK_MS = 45_000

/** Sends to a unix datagram socket; returns 0, or the system's error number. */
export type SendNotice = (path: string, text: string) => number

export interface SdNotifyOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** The addon's; undefined where there is none. */
  readonly send: SendNotice | undefined
}

export class SdNotify {
  readonly #options: SdNotifyOptions
  readonly #path: string
  /** Longest time between two signs of life; 0 = nobody watches. */
  readonly watchdogMs: number
  #timer: NodeJS.Timeout | undefined
  #hasFailed = false
  #status = ''

  constructor(options: SdNotifyOptions) {
    const { env } = options
    this.#options = options
    this.#path = env.NOTIFY_SOCKET ?? ''
    const isForUs = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === process.pid
    const watchdogUs = Number(env.WATCHDOG_USEC ?? 0)
    this.watchdogMs = isForUs && watchdogUs > 0 ? watchdogUs / US_PER_MS : 0
  }

  get isOn(): boolean {
    return this.#path !== ''
  }

  /** All runs. From now on says so while `isHealthy`, and `status` when it changes. */
  ready(isHealthy: () => boolean, status: () => string): void {
    this.#send(`READY=1\nSTATUS=${status()}`)
    if (!this.isOn) return
    const everyMs =
      this.watchdogMs === 0
        ? SD_STATUS_MS
        : Math.min(SD_STATUS_MS, this.watchdogMs * WATCHDOG_SHARE)
    const turn = () => {
      if (this.watchdogMs > 0 && isHealthy()) this.#send('WATCHDOG=1')
      const text = status()
      if (text === this.#status) return
      this.#status = text
      this.#send(`STATUS=${text}`)
    }
    this.#timer = setInterval(turn, everyMs)
    turn()
  }

  /** An ordered stop begins: systemd waits for the drain, and for what comes after it. */
  stopping(drainMs: number): void {
    clearInterval(this.#timer)
    const extendUs = (drainMs + STOP_SLACK_MS) * US_PER_MS
    this.#send(`STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=${extendUs}`)
  }

  #send(text: string): void {
    if (!this.isOn) return
    const { send } = this.#options
    if (send === undefined) this.#run(text)
    else this.#noteFailure(send(this.#path, text))
  }

  #run(text: string): void {
    const args = text.split('\n')
    const child = spawn('systemd-notify', args, { stdio: 'ignore' })
    child.once('error', (error) => this.#noteFailure(errorText(error)))
    child.unref()
  }

  #noteFailure(error: number | string): void {
    if (error === 0 || this.#hasFailed) return
    this.#hasFailed = true
    this.#options.log.warn({ socket: this.#path, error }, 'systemd cannot be told how it goes')
  }
}
