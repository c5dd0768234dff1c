// What goes wrong in a schedule, and how it is mended.

import { type FuseName, STAGES } from './daemon.ts'
import { DIRECTORY } from './life-agents.ts'
import type { DiskFault } from './simulated-disk.ts'
import type { SimulatedFile } from './simulated-file.ts'
import type { World } from './world.ts'

export const FAULTS = [
  'kill',
  'power_cut',
  'agent_throws',
  'agent_stalls',
  'decode_throws_in_a_group',
  'decode_throws_after_publication',
  'fsync_fails',
  'directory_fsync_fails',
  'write_fails',
  'short_write',
  'open_fails',
  'disk_full',
  'bit_flip',
  'database_cut',
  'database_down',
  'database_hangs',
  'database_crash_loses_commits',
  'database_restored_older',
  'clock_steps',
] as const
export type FaultName = (typeof FAULTS)[number]

const DISK_FAULTS: Readonly<Partial<Record<FaultName, DiskFault>>> = {
  fsync_fails: 'sync',
  directory_fsync_fails: 'syncDirectory',
  write_fails: 'write',
  short_write: 'shortWrite',
  open_fails: 'open',
}
/** Commits that a server which does not wait for its disk may lose in a crash. */
const ASYNC_COMMITS_MAX = 3
const HOUR_MS = 3_600_000
const CALLS_TO_END_MAX = 16
/** Steps for which an end waits for its moment. */
const AMBUSH_STEPS = 40
/** Moments worth an end: something is half done. */
const MOMENTS = ['unsynced', 'unsynced', 'unwritten', 'acknowledged', 'storing'] as const
type Moment = (typeof MOMENTS)[number]

export class Faults {
  readonly counts = Object.fromEntries(FAULTS.map((name) => [name, 0])) as Record<FaultName, number>
  /**
   * The database once held every record below it: only these may leave the journal and then be
   * missed, after the database was put back.
   */
  storedBeforeRestore = 0
  /** Files in which a bit was flipped, though it may have been mended. */
  readonly flippedPaths = new Set<string>()
  readonly #world: World
  /** An end that waits for its moment. */
  #ambush: { moment: Moment; steps: number; end: () => void } | undefined
  #acknowledgedCount = 0
  readonly #flips: { file: SimulatedFile; mend: () => void }[] = []

  constructor(world: World) {
    this.#world = world
  }

  happen(name: FaultName): void {
    if (!this.#happen(name)) return
    this.counts[name]++
    this.#world.note(`fault ${name}`)
  }

  /** After each step: is it the moment that an end waits for? */
  look(): void {
    const acknowledged = this.#world.acknowledgedCount
    const isFresh = acknowledged > this.#acknowledgedCount
    this.#acknowledgedCount = acknowledged
    const ambush = this.#ambush
    if (ambush === undefined) return
    if (!this.#isMoment(ambush.moment, isFresh) && --ambush.steps > 0) return
    this.#ambush = undefined
    ambush.end()
  }

  /** One of the lasting faults ends. */
  mendOne(): void {
    const { random, postgres, disk } = this.#world
    switch (random.below(5)) {
      case 0:
        postgres.isUp = true
        break
      case 1:
        postgres.isHung = false
        break
      case 2:
        disk.capacityBytes = Number.POSITIVE_INFINITY
        break
      case 3:
        this.#world.stalled = undefined
        break
      default:
        this.#unflip()
    }
  }

  mendAll(): void {
    const { postgres, disk, daemon } = this.#world
    postgres.isUp = true
    postgres.isHung = false
    disk.heal()
    this.#world.stalled = undefined
    this.#world.losesPower = false
    this.#ambush = undefined
    while (this.#flips.length > 0) this.#unflip()
    for (const fuse of Object.values(daemon?.fuses ?? {})) fuse.isLit = false
  }

  /** False: there is nothing now that it could happen to. */
  #happen(name: FaultName): boolean {
    const { random, postgres, disk, clock } = this.#world
    const diskFault = DISK_FAULTS[name]
    if (diskFault !== undefined) {
      disk.arm(diskFault)
      return true
    }
    switch (name) {
      case 'kill':
      case 'power_cut':
        return this.#end(name === 'power_cut')
      case 'agent_throws':
        return this.#light(STAGES[random.below(STAGES.length)] as FuseName)
      case 'agent_stalls':
        this.#world.stalled = STAGES[random.below(STAGES.length)]
        return true
      case 'decode_throws_in_a_group':
        return this.#light('validate')
      case 'decode_throws_after_publication':
        return this.#light('publish')
      case 'disk_full':
        disk.capacityBytes = disk.usedBytes + random.below(2048)
        return true
      case 'bit_flip':
        return this.#flip()
      case 'database_cut':
        return this.#soon(() => postgres.cutAll())
      case 'database_down':
        return this.#soon(() => postgres.stop())
      case 'database_hangs':
        postgres.isHung = true
        return true
      case 'database_crash_loses_commits':
        return this.#restore(1 + random.below(ASYNC_COMMITS_MAX))
      case 'database_restored_older':
        return this.#restore(1 + random.below(postgres.history.commitCount))
      case 'clock_steps':
        clock.stepWall((random.fraction() - 0.5) * 4 * HOUR_MS)
        return true
      default:
        throw new Error(`no such fault: ${name}`)
    }
  }

  /** Between two duty cycles, or in the midst of one: at some call to the disk. */
  #end(isPowerCut: boolean): boolean {
    const { disk, random } = this.#world
    if (this.#world.daemon === undefined || disk.callsToEnd > 0) return false
    if (this.#ambush !== undefined) return false
    this.#world.losesPower = isPowerCut
    if (random.below(2) === 0) return this.#soon(() => this.#world.kill())
    disk.callsToEnd = 1 + random.below(CALLS_TO_END_MAX)
    return true
  }

  /** At once, or at the next moment of some kind. */
  #soon(end: () => void): boolean {
    const moment = MOMENTS[this.#world.random.below(MOMENTS.length + 1)]
    if (moment === undefined) end()
    else this.#ambush = { moment, steps: AMBUSH_STEPS, end }
    return true
  }

  #isMoment(moment: Moment, isFresh: boolean): boolean {
    const { daemon, postgres, published } = this.#world
    if (moment === 'acknowledged') return isFresh
    if (moment === 'storing') return postgres.isStoring
    if (daemon === undefined) return false
    const written = daemon.memory.written.load()
    if (moment === 'unwritten') return written < published.ticks.length
    return daemon.memory.durable.load() < written
  }

  #light(name: FuseName): boolean {
    const fuse = this.#world.daemon?.fuses[name]
    if (fuse === undefined) return false
    fuse.isLit = true
    return true
  }

  #restore(commits: number): boolean {
    const { postgres } = this.#world
    this.storedBeforeRestore = Math.max(this.storedBeforeRestore, postgres.position(0))
    postgres.restore(commits)
    return true
  }

  /**
   * In a closed segment, one a file: in the newest one a flip of the last block is no different
   * from a torn write, and so are two that hit the last block and the seal that bears witness.
   */
  #flip(): boolean {
    const { random, disk } = this.#world
    const closed = disk.paths(`${DIRECTORY}/0`).slice(0, -1)
    const path = closed[random.below(Math.max(1, closed.length))]
    const file = path === undefined ? undefined : disk.file(path)
    if (file === undefined || file.sizeBytes === 0) return false
    if (this.#flips.some((flip) => flip.file === file)) return false
    const mend = file.flipBit(random.below(file.sizeBytes), random.below(8))
    this.#flips.push({ file, mend })
    this.flippedPaths.add(path as string)
    this.#world.isDamaged = true
    return true
  }

  /** The file is restored from a copy. */
  #unflip(): void {
    this.#flips.pop()?.mend()
    this.#world.isDamaged = this.#flips.length > 0
  }
}
