// One schedule: a seed decides whose turn it is, what fails and when; then all is checked.
//
// Swarm testing: each seed draws its own weights, and leaves some kinds of fault out, so that rare
// combinations are not drowned by frequent ones.

import { checkBalances, checkFrames, checkStored } from './checks.ts'
import { STAGES } from './daemon.ts'
import { FAULTS, type FaultName, Faults } from './faults.ts'
import { check } from './violation.ts'
import { SOUND, type Wiring } from './wiring.ts'
import { World } from './world.ts'

export interface ScheduleOptions {
  readonly seed: number
  readonly wiring?: Wiring
  readonly onEvent?: ((text: string) => void) | undefined
}

export interface Outcome {
  readonly seed: number
  /** undefined: every promise was kept. */
  readonly failure: Error | undefined
  /** Equal for equal runs. */
  readonly hash: number
  readonly faults: Readonly<Record<FaultName, number>>
  readonly stats: Readonly<Record<StatName, number>>
}

export const STATS = [
  'lives',
  'killed',
  'power_lost',
  'steps_up',
  'steps_down',
  'records',
  'acknowledged',
  'stored',
  'subscribers',
  'received',
  'declared',
  'overrun',
  'lost_answers',
  'lost_sectors',
  'torn_sectors',
] as const
export type StatName = (typeof STATS)[number]

const STEPS_MIN = 300
const STEPS_MORE = 700
const CHECK_EVERY = 16
const START_TURNS = 4
const FLOOD_FRAMES_MAX = 60
const FLOODED = ['source', 'decode', 'journal', 'aggregate'] as const
/** Duty cycles of everything, until all must have come to rest. */
const REST_TURNS_MAX = 4000
/** Waits of the product, from the shortest to the back-off of a store. */
const REST_STEPS_MS = [1, 1, 5, 20, 100, 1000, 5000]

interface Action {
  readonly weight: number
  readonly run: () => unknown
}

export async function runSchedule(options: ScheduleOptions): Promise<Outcome> {
  const world = new World({ ...options, wiring: options.wiring ?? SOUND })
  const faults = new Faults(world)
  let failure: Error | undefined
  // A promise of the product that fails unheard ends its thread, and with it the daemon.
  const onRejection = (thrown: unknown) => world.fail(thrown)
  process.on('unhandledRejection', onRejection)
  try {
    await disturb(world, faults)
    await comeToRest(world, faults)
    await checkAll(world, faults)
  } catch (thrown) {
    failure = thrown instanceof Error ? thrown : new Error(String(thrown))
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  return {
    seed: options.seed,
    failure,
    hash: world.hash,
    faults: faults.counts,
    stats: statsOf(world),
  }
}

async function disturb(world: World, faults: Faults): Promise<void> {
  const { random } = world
  const actions = chooseActions(world, faults)
  const total = actions.reduce((sum, { weight }) => sum + weight, 0)
  const steps = STEPS_MIN + random.below(STEPS_MORE)
  for (let step = 0; step < steps; step++) {
    world.steps++
    let at = random.fraction() * total
    const action = actions.find(({ weight }) => {
      at -= weight
      return at < 0
    })
    await action?.run()
    await world.settle()
    faults.look()
    if (world.daemon?.isUp) world.upSteps++
    if (step % CHECK_EVERY === 0) checkBalances(world)
  }
}

function chooseActions(world: World, faults: Faults): Action[] {
  const { random, clock } = world
  const some = (weight: number) => weight * 2 ** (random.below(5) - 2)
  const actions: Action[] = [
    ...STAGES.map((stage) => ({ weight: some(6), run: () => world.turn(stage) })),
    { weight: some(4), run: () => world.turnAll() },
    { weight: some(8), run: () => talk(world) },
    { weight: some(10), run: () => world.push() },
    { weight: some(3), run: () => world.venue() },
    { weight: some(0.3), run: () => flood(world) },
    { weight: some(1), run: () => world.subscribe() },
    { weight: some(3), run: () => world.read() },
    { weight: some(0.2), run: () => world.cutSubscriber() },
    { weight: some(6), run: () => clock.advance(random.fraction() * 4) },
    { weight: some(1), run: () => clock.advance(random.below(200)) },
    { weight: some(0.1), run: () => clock.advance(random.below(20_000)) },
    { weight: 12, run: () => (world.daemon?.isUp === true ? 0 : startUp(world)) },
  ]
  const rate = some(0.15)
  for (const name of FAULTS) {
    const isLeftOut = random.below(2) === 0
    if (!isLeftOut) actions.push({ weight: some(rate), run: () => faults.happen(name) })
  }
  actions.push({ weight: some(5), run: () => faults.mendOne() })
  return actions
}

/** The database and the daemon exchange a few messages. */
async function talk(world: World): Promise<void> {
  for (let count = world.random.below(4); count > 0; count--) {
    world.database()
    await world.settle()
  }
  world.database()
}

/** The venue floods the daemon, while serve and the store are somewhere else. */
function flood(world: World): void {
  for (let frames = world.random.below(FLOOD_FRAMES_MAX); frames > 0; frames--) {
    world.venue()
    for (const stage of FLOODED) world.turn(stage)
  }
}

/** A daemon that is down, or starting, gets on with it. */
async function startUp(world: World): Promise<void> {
  if (world.daemon === undefined) world.start()
  else {
    for (let i = 0; i < START_TURNS; i++) {
      world.turnAll()
      await talk(world)
    }
  }
}

/** Mends everything, and runs until nothing is under way any more. */
async function comeToRest(world: World, faults: Faults): Promise<void> {
  faults.mendAll()
  world.note('mended')
  const { clock } = world
  let idle = 0
  for (let turn = 0; turn < REST_TURNS_MAX; turn++) {
    if (world.daemon === undefined && !world.start()) {
      check('it starts once all is mended', false, () => String(world.lastFailure))
    }
    let work = world.turnAll() + world.database()
    await world.settle()
    world.push(false)
    world.read(100)
    work += world.database()
    await world.settle()
    if (isAtRest(world)) return
    idle = work > 0 ? 0 : Math.min(idle + 1, REST_STEPS_MS.length - 1)
    clock.advance(REST_STEPS_MS[idle] as number)
  }
  check('all comes to rest once it is mended', false, () => describeUnrest(world))
}

function isAtRest(world: World): boolean {
  const { daemon, published, postgres, pushers } = world
  if (daemon === undefined || !daemon.isUp || !pushers.every(({ isDone }) => isDone)) return false
  const end = published.ticks.length
  if (daemon.memory.durable.load() !== end || postgres.position(0) !== end) return false
  return daemon.isDrained
}

function describeUnrest({ daemon, published, postgres, pushers, lastFailure }: World): string {
  const durable = daemon?.memory.durable.load()
  const busy = pushers.filter(({ isDone }) => !isDone).length
  return (
    `published ${published.ticks.length}, durable ${durable}, stored ${postgres.position(0)}, ` +
    `${busy} pushers wait; last failure: ${lastFailure}`
  )
}

async function checkAll(world: World, faults: Faults): Promise<void> {
  checkBalances(world)
  checkFrames(world)
  await leaveFeed(world)
  checkStored(world, faults)
  // What is acknowledged outlives the daemon and the power.
  const end = world.published.ticks.length
  world.losesPower = true
  world.kill()
  const isUp = world.start()
  check('it starts again', isUp, () => String(world.lastFailure))
  const firstSeq = world.daemon?.memory.firstSeq
  check('a journal at rest is kept whole', firstSeq === end, () => `${firstSeq} of ${end} records`)
}

/** Every subscriber leaves in order: by then it was told of everything up to the end. */
async function leaveFeed(world: World): Promise<void> {
  const open = [...world.subscribers]
  world.turn('serve')
  for (const { socket, model } of open) {
    socket.read(10_000)
    if (model.stream !== 0) socket.say({ op: 'unsubscribe', stream: model.stream })
    socket.read(10_000)
    const isTold = model.isComplete || !model.isOpen || model.stream === 0
    check('a subscriber that leaves is told where', isTold, () => `stream ${model.stream}`)
  }
  await world.settle()
}

function statsOf(world: World): Record<StatName, number> {
  const { published, postgres, pushers, disk, epochSeen, subscriberStats } = world
  const acknowledged = pushers
    .flatMap(({ batches }) => batches)
    .filter(({ state }) => state === 'acknowledged')
    .reduce((sum, { tradeIds }) => sum + tradeIds.length, 0)
  return {
    lives: epochSeen,
    ...world.ends,
    steps_up: world.upSteps,
    steps_down: world.steps - world.upSteps,
    records: published.ticks.length,
    acknowledged,
    stored: postgres.rows.length,
    ...subscriberStats(),
    lost_answers: postgres.lostAnswers,
    lost_sectors: disk.counts.lostSectors,
    torn_sectors: disk.counts.tornSectors,
  }
}
