// The faults: each does something to the site, and undoes it.

import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../src/source/random.ts'
import type { ArmedFault, Site } from './site.ts'
import type { Watcher } from './watcher.ts'

/** Who is at hand to be hurt. */
export interface Scene {
  readonly site: Site
  readonly slowWatcher: Watcher
  /** One fault at a time of PostgreSQL, and of the other things that are one. */
  readonly turns: Turns
  /** Of the copy of the database that is kept, by shard: where it stands. */
  copy: ReadonlyMap<number, number> | undefined
  /** The database was set back: all of it is to be looked at again. */
  isRestored: boolean
}

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  async take(name: string, act: () => Promise<void>): Promise<void> {
    const turn = (this.#last.get(name) ?? Promise.resolve()).then(act)
    this.#last.set(
      name,
      turn.catch(() => {}),
    )
    await turn
  }
}

export interface Fault {
  readonly name: string
  /** How often it is drawn, compared with the others. */
  readonly weight: number
  /** `random` is its own: what else goes on at the time draws nothing from it. */
  readonly inflict: (scene: Scene, random: Random) => Promise<void>
}

const STOPPED_MS_MAX = 1000
const KILLED_IN_START_MS_MAX = 700
/** Cuts within a moment, one after the other. */
const CUTS_MAX = 4

export const FAULTS: readonly Fault[] = [
  { name: 'daemon-kill', weight: 6, inflict: daemonKill },
  { name: 'daemon-term', weight: 2, inflict: daemonTerm },
  { name: 'daemon-stop', weight: 2, inflict: daemonStop },
  { name: 'postgres-kill', weight: 1, inflict: postgresKill },
  { name: 'postgres-crash', weight: 2, inflict: postgresCrash },
  { name: 'postgres-stop', weight: 2, inflict: postgresStop },
  { name: 'postgres-restore', weight: 2, inflict: postgresRestore },
  { name: 'postgres-cut', weight: 3, inflict: (scene, random) => cut(scene, random, 'postgres') },
  { name: 'redis-kill', weight: 2, inflict: redisKill },
  { name: 'redis-stop', weight: 1, inflict: redisStop },
  { name: 'redis-cut', weight: 1, inflict: (scene, random) => cut(scene, random, 'redis') },
  { name: 'tcp-cut', weight: 3, inflict: (scene, random) => cut(scene, random, 'tcp') },
  { name: 'http-cut', weight: 3, inflict: (scene, random) => cut(scene, random, 'http') },
  { name: 'feed-cut', weight: 2, inflict: (scene, random) => cut(scene, random, 'feed') },
  { name: 'slow-reader', weight: 3, inflict: slowReader },
  { name: 'disk-full', weight: 2, inflict: diskFull },
]

/** Faults that a daemon is started with, if any. */
export function drawArmed(random: Random): ArmedFault[] {
  if (random.below(2) === 0) return []
  const afterMs = 300 + random.below(1500)
  const role = ['source', 'decode-0', 'decode-1', 'journal-0', 'journal-1', 'aggregate']
    .concat(['postgres-0', 'postgres-1', 'redis', 'serve'])
    .at(random.below(10)) as string
  switch (random.below(5)) {
    case 0:
      return [{ kind: 'agent-hang', entry: `${role}:hang@${afterMs}`, afterMs }]
    case 1:
      return [{ kind: 'thread-cut', entry: `${role}:cut@${afterMs}`, afterMs }]
    case 2: {
      const way = random.below(2) === 0 ? 'ahead' : 'back'
      return [{ kind: 'clock-step', entry: `clock:${way}@${afterMs}`, afterMs }]
    }
    default:
      return [{ kind: 'agent-throw', entry: `${role}:throw@${afterMs}`, afterMs }]
  }
}

async function daemonKill({ site }: Scene, random: Random): Promise<void> {
  await site.withDaemon(async () => {
    await site.kill()
    // Some are killed again while they start.
    for (let again = random.below(4) - 1; again > 0; again--) {
      site.spawn()
      await delay(random.below(KILLED_IN_START_MS_MAX))
      await site.kill()
    }
    await site.start()
  })
}

async function daemonTerm({ site }: Scene): Promise<void> {
  await site.withDaemon(async () => {
    await site.terminate()
    await site.start()
  })
}

async function daemonStop({ site }: Scene, random: Random): Promise<void> {
  await site.withDaemon(async () => {
    const { pid } = site.daemon
    process.kill(pid, 'SIGSTOP')
    await delay(random.below(STOPPED_MS_MAX))
    process.kill(pid, 'SIGCONT')
  })
}

async function postgresKill({ site, turns }: Scene): Promise<void> {
  await turns.take('postgres', () => site.database.killServer())
}

async function postgresCrash({ site, turns }: Scene, random: Random): Promise<void> {
  await turns.take('postgres', async () => {
    site.database.killBackend(random.below(16))
    await site.database.query('SELECT 1')
  })
}

async function postgresStop({ site, turns }: Scene, random: Random): Promise<void> {
  await turns.take('postgres', async () => {
    site.database.freeze(true)
    await delay(random.below(STOPPED_MS_MAX))
    site.database.freeze(false)
  })
}

/**
 * The first of two takes the copy, the second puts it back: one that the journal reaches back to.
 * Behind an older one records are lost, and said to be; then the copy is taken anew.
 */
async function postgresRestore(scene: Scene): Promise<void> {
  const { site, turns } = scene
  await turns.take('postgres', async () => {
    if (scene.copy !== undefined && site.journalsReach(scene.copy)) {
      scene.copy = undefined
      await site.database.restore()
      scene.isRestored = true
    } else {
      scene.copy = await site.database.positions()
      await site.database.backUp()
    }
  })
}

async function redisKill({ site, turns }: Scene, random: Random): Promise<void> {
  await turns.take('redis', async () => {
    await site.redis.kill()
    await delay(random.below(STOPPED_MS_MAX / 2))
    await site.redis.start()
  })
}

async function redisStop({ site, turns }: Scene, random: Random): Promise<void> {
  await turns.take('redis', async () => {
    site.redis.signal('SIGSTOP')
    await delay(random.below(STOPPED_MS_MAX))
    site.redis.signal('SIGCONT')
  })
}

async function cut({ site }: Scene, random: Random, way: keyof Site['proxies']): Promise<void> {
  for (let cuts = 1 + random.below(CUTS_MAX); cuts > 0; cuts--) {
    site.proxies[way].cutAll()
    await delay(random.below(STOPPED_MS_MAX / 4))
  }
}

async function slowReader({ slowWatcher, turns }: Scene, random: Random): Promise<void> {
  await turns.take('reader', async () => {
    slowWatcher.slow = true
    await delay(STOPPED_MS_MAX + random.below(STOPPED_MS_MAX))
    slowWatcher.slow = false
  })
}

async function diskFull({ site, turns }: Scene, random: Random): Promise<void> {
  await turns.take('disk', async () => {
    site.disk.fill(random.below(4) * 65_536)
    await delay(random.below(STOPPED_MS_MAX))
    site.disk.free()
  })
}
