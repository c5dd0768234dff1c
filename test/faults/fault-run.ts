// A run of the fault suite: load, faults and audits, round after round, drawn from a seed.
//
// A round: pushers push, subscribers read; one to three faults begin at random moments and end;
// then nothing is broken any more, what was pushed is acknowledged and stored, and the audit looks.
// The seed gives the faults and their times; what they meet is the machine's own doing.

import { execFile } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Random } from '../../src/source/random.ts'
import type { PlantedBug } from '../../src/threads/planted-bugs.ts'
import {
  auditIncidents,
  auditLedger,
  auditRedis,
  auditRows,
  auditTrades,
  auditWatchers,
  until,
  untilStored,
  type Verified,
} from './audit.ts'
import { HUNTS } from './hunts.ts'
import { drawArmed, FAULTS, type Fault, type Scene, Turns } from './inflict.ts'
import type { Load } from './load.ts'
import { makeLoads } from './load-set.ts'
import { randomOf } from './random-of.ts'
import { Site } from './site.ts'
import { Watcher } from './watcher.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const FAULTS_MAX = 3
/** Faults begin within this time. */
const ONSET_MS = 700
/** Load before the first fault and after the last one. */
const MARGIN_MS = 150
/** Rounds between looks at all of the database, and questions to `tickd ledger --check`. */
const FULL_EVERY = 25
const VIOLATIONS_MAX = 20

export interface RunOptions {
  readonly directory: string
  readonly seed: number
  readonly planted?: PlantedBug | undefined
  readonly progress: (text: string) => void
}

export interface RunSummary {
  readonly rounds: number
  readonly acknowledged: number
  readonly stored: number
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
  readonly retries: number
  readonly repeated: number
  readonly delivered: number
  readonly declaredGaps: number
  readonly faults: Readonly<Record<string, number>>
  readonly startsMs: readonly number[]
}

export class FaultRun {
  readonly #options: RunOptions
  readonly #site: Site
  readonly #scene: Scene
  readonly #loads: readonly Load[]
  readonly #watchers: readonly Watcher[]
  readonly #violations: string[]
  readonly #verified: Verified = { hour: 0, last: new Map() }
  readonly #faults: Record<string, number> = {}
  readonly #tasks: Promise<void>[]
  #rounds = 0

  private constructor(options: RunOptions, site: Site, violations: string[]) {
    this.#options = options
    this.#site = site
    this.#violations = violations
    const onViolation = (text: string) => note(violations, text)
    const { feed } = site.proxies
    this.#loads = makeLoads(site, options.seed, onViolation)
    const watch = (name: string, port: number, protocol: 'tickd.v1.fb' | 'tickd.v1.json') =>
      new Watcher({ name, port, protocol, onViolation })
    // Past the proxy, so that nobody but it reads for it.
    const slowWatcher = watch('slow', site.httpPort, 'tickd.v1.json')
    this.#watchers = [
      watch('steady', site.httpPort, 'tickd.v1.fb'),
      watch('cut', feed.port, 'tickd.v1.fb'),
      slowWatcher,
    ]
    const turns = new Turns()
    this.#scene = { site, slowWatcher, turns, copy: undefined, isRestored: false }
    this.#tasks = [...this.#loads, ...this.#watchers].map((one) => one.run())
  }

  static async open(options: RunOptions): Promise<FaultRun> {
    const { planted } = options
    const violations: string[] = []
    mkdirSync(options.directory, { recursive: true })
    const site = await Site.open({
      directory: options.directory,
      seed: options.seed,
      planted,
      arm: (random) => (planted === undefined ? drawArmed(random) : HUNTS[planted].armed),
      onViolation: (text) => note(violations, text),
    })
    try {
      await site.start()
    } catch (thrown) {
      await site.close()
      throw thrown
    }
    if (!site.disk.isMounted) options.progress('mounting is not permitted: without disk-full')
    return new FaultRun(options, site, violations)
  }

  /** Throws when anything is not as it should be. */
  async round(): Promise<void> {
    const beganMs = performance.now()
    this.#verified.hour = this.#rounds
    for (const load of this.#loads) {
      load.hour = this.#rounds
      load.resume()
    }
    await delay(MARGIN_MS)
    const random = randomOf(this.#options.seed, 'round', this.#rounds)
    const drawn = this.#draw(random)
    await Promise.all(
      drawn.map(async ({ inflict }) => {
        const own = new Random(random.next())
        await delay(own.below(ONSET_MS))
        await inflict(this.#scene, own)
      }),
    )
    await delay(MARGIN_MS)
    const brokenMs = performance.now() - beganMs
    this.#rounds++
    await this.#audit()
    const names = drawn.map(({ name }) => name)
    for (const name of names) this.#faults[name] = (this.#faults[name] ?? 0) + 1
    const total = this.#loads.reduce((sum, { acknowledged }) => sum + acknowledged, 0)
    const settledMs = performance.now() - beganMs - brokenMs
    const times = `${Math.round(brokenMs)} + ${Math.round(settledMs)} ms`
    this.#options.progress(`round ${this.#rounds}: ${names.join(', ')}: ${total} trades, ${times}`)
  }

  summary(): RunSummary {
    const faults: Record<string, number> = { ...this.#faults }
    for (const kind of this.#site.armedDone) faults[kind] = (faults[kind] ?? 0) + 1
    const sum = (of: (load: Load) => number) => this.#loads.reduce((all, one) => all + of(one), 0)
    const acknowledged = sum((load) => load.acknowledged)
    return {
      rounds: this.#rounds,
      acknowledged,
      // An audit that finds it otherwise has thrown.
      stored: acknowledged,
      lost: 0,
      doubled: 0,
      outOfOrder: 0,
      retries: sum(({ retries }) => retries),
      repeated: sum(({ repeated }) => repeated),
      delivered: this.#watchers.reduce((all, { records }) => all + records, 0),
      declaredGaps: this.#watchers.reduce((all, { declared }) => all + declared, 0),
      faults,
      startsMs: this.#site.startsMs,
    }
  }

  /** What the daemon has said since its last start. */
  daemonOutput(): string {
    return this.#site.output()
  }

  /** For the end of this process, however it comes: nothing outlives it. */
  killAll(): void {
    this.#site.killAll()
  }

  /** The last, full audit. */
  async finish(): Promise<void> {
    await auditTrades(this.#site, this.#loads, this.#verified, true)
    await this.#checkLedger()
    await this.#site.withDaemon(() => this.#site.terminate())
    this.#throwViolations()
  }

  /** Ends everything; what is on the disk is removed, or put where it outlives the run. */
  async close(remove: boolean): Promise<void> {
    for (const one of [...this.#loads, ...this.#watchers]) one.end()
    await Promise.all(this.#tasks)
    await this.#site.close()
    if (!remove) this.#site.disk.keep()
    this.#site.disk.remove()
    if (remove) rmSync(this.#options.directory, { recursive: true, force: true, maxRetries: 10 })
  }

  #draw(random: Random): Fault[] {
    const { planted } = this.#options
    const hunted = planted === undefined ? undefined : HUNTS[planted].faults
    const { isMounted } = this.#site.disk
    const all = FAULTS.filter(({ name }) => {
      return (hunted?.includes(name) ?? true) && (isMounted || name !== 'disk-full')
    })
    const total = all.reduce((sum, { weight }) => sum + weight, 0)
    return Array.from({ length: 1 + random.below(FAULTS_MAX) }, () => {
      let at = random.below(total)
      return all.find(({ weight }) => {
        at -= weight
        return at < 0
      }) as Fault
    })
  }

  async #audit(): Promise<void> {
    for (const load of this.#loads) load.pause()
    const state = () => this.#loads.map((one) => `${one.symbol} ${one.acknowledged}`).join(', ')
    const isDone = () => this.#loads.every(({ isSettled }) => isSettled)
    await until('all is acknowledged', () => isDone() || this.#violations.length > 0, state)
    this.#throwViolations()
    await untilStored(this.#site, this.#loads)
    const isFull = this.#scene.isRestored || this.#rounds % FULL_EVERY === 0
    this.#scene.isRestored = false
    await auditTrades(this.#site, this.#loads, this.#verified, isFull)
    await auditRows(this.#site)
    await auditWatchers(this.#watchers)
    await auditRedis(this.#site, this.#loads)
    await auditLedger(this.#site)
    auditIncidents(this.#site)
    if (this.#rounds % FULL_EVERY === 0) await this.#checkLedger()
    this.#throwViolations()
  }

  /** As an operator does it. */
  async #checkLedger(): Promise<void> {
    // It answers: then it is for `tickd ledger` to say what.
    await auditLedger(this.#site)
    const args = ['--disable-warning=ExperimentalWarning', MAIN, 'ledger', '--check']
    const said = await new Promise<string>((resolve) => {
      execFile(process.execPath, [...args, '--url', this.#site.http], (error, stdout, stderr) => {
        resolve(error === null ? '' : stdout + stderr)
      })
    })
    if (said !== '') throw new Error(`tickd ledger --check: ${said}`)
  }

  #throwViolations(): void {
    if (this.#violations.length > 0) throw new Error(this.#violations.join('\n'))
  }
}

function note(violations: string[], text: string): void {
  if (violations.length < VIOLATIONS_MAX) violations.push(text)
}
