// Faults on demand, for tests only: agents that throw, hang or leak, threads that are cut down in
// the middle of whatever they do, frames that are poison.
//
//   TICKD_TEST_FAULTS=decode-0:hang@300,journal-0:cut@200,poison:leak TICKD_TEST_FAULTS_ALLOWED=yes
//
//   role:throw|hang|leak@ms   the agent does it so many milliseconds after its start; the n-th
//                             entry of a role is for the n-th life of the agent
//   role:cut@ms               main ends the role's thread so many milliseconds after the start of
//                             all, at whatever instruction it then is
//   poison:throw|hang|leak    a decoder does it on every frame that contains POISON
//   plant:…, clock:…          bugs on purpose, and clocks that step: see planted-bugs.ts
//
// Refused unless both are set: neither a stray variable nor a copied command line arms it. Nothing
// is wrapped, and nothing paid, when it is not armed.

import type { Clock } from '../clock.ts'
import type { Decoder } from '../decode/decoder.ts'
import { TickdError } from '../errors.ts'
import type { Agent } from './agent.ts'
import { CLOCK_ROLE, CLOCK_STEPS, PLANT_ROLE, PLANTED_BUGS } from './planted-bugs.ts'

/** In a frame: makes it poison. */
export const POISON = 'tickd-test-poison'
/** Who decodes, in place of a role. */
const POISON_ROLE = 'poison'
const KINDS = ['throw', 'hang', 'leak', 'cut'] as const
type Kind = (typeof KINDS)[number] | (typeof PLANTED_BUGS)[number] | (typeof CLOCK_STEPS)[number]
const ENTRY = /^([a-z]+(?:-\d+)?):([a-z-]+)(?:@(\d{1,9}))?$/

export interface TestFault {
  readonly role: string
  readonly kind: Kind
  readonly afterMs: number
}

/** What the environment asks for. Throws TickdError USAGE. */
export function testFaults(env: Readonly<Record<string, string | undefined>>): TestFault[] {
  const text = env.TICKD_TEST_FAULTS ?? ''
  if (text === '') return []
  if (env.TICKD_TEST_FAULTS_ALLOWED !== 'yes') {
    throw new TickdError(
      'USAGE',
      'TICKD_TEST_FAULTS makes agents fail on purpose: unset it, or, in a test, say so with ' +
        'TICKD_TEST_FAULTS_ALLOWED=yes',
    )
  }
  return text.split(',').map(readEntry)
}

function readEntry(entry: string): TestFault {
  const [, role = '', name = '', after = '0'] = ENTRY.exec(entry) ?? []
  const kind = kindsOf(role).find((known) => known === name)
  if (role === '' || kind === undefined) {
    throw new TickdError('USAGE', `TICKD_TEST_FAULTS: ${entry} is not role:kind@milliseconds`)
  }
  return { role, kind, afterMs: Number(after) }
}

function kindsOf(role: string): readonly Kind[] {
  if (role === PLANT_ROLE) return PLANTED_BUGS
  if (role === CLOCK_ROLE) return CLOCK_STEPS
  return role === POISON_ROLE ? KINDS.filter((kind) => kind !== 'cut') : KINDS
}

/** The faults that main does itself. */
export function cuts(faults: readonly TestFault[]): TestFault[] {
  return faults.filter(({ kind }) => kind === 'cut')
}

/** The agent, with the fault of its life (0 = the first) if there is one for it. */
export function withFault(
  agent: Agent,
  faults: readonly TestFault[],
  life: number,
  clock: Clock,
): Agent {
  const own = faults.filter(({ role, kind }) => role === agent.roleName && kind !== 'cut')
  const fault = own[life]
  return fault === undefined ? agent : new FaultyAgent(agent, fault, clock)
}

/** The decoder, poisoned if that is asked for. */
export function withPoison(decoder: Decoder, faults: readonly TestFault[]): Decoder {
  const fault = faults.find(({ role }) => role === POISON_ROLE)
  if (fault === undefined) return decoder
  return {
    decode(bytes, start, end, meta, out, tally) {
      const isPoison = Buffer.from(bytes.subarray(start, end)).includes(POISON)
      decoder.decode(bytes, start, end, meta, out, tally)
      if (isPoison) doFault(fault.kind)
    },
  }
}

class FaultyAgent implements Agent {
  readonly roleName: string
  readonly #agent: Agent
  readonly #fault: TestFault
  readonly #clock: Clock
  readonly #dueMs: number

  constructor(agent: Agent, fault: TestFault, clock: Clock) {
    this.roleName = agent.roleName
    this.#agent = agent
    this.#fault = fault
    this.#clock = clock
    this.#dueMs = clock.monoMs() + fault.afterMs
  }

  onStart(): void | Promise<void> {
    return this.#agent.onStart?.()
  }

  doWork(): number {
    const work = this.#agent.doWork()
    if (this.#clock.monoMs() >= this.#dueMs) doFault(this.#fault.kind)
    return work
  }

  drain(): boolean {
    return this.#agent.drain()
  }

  idleMsMax(): number {
    return this.#agent.idleMsMax?.() ?? Number.POSITIVE_INFINITY
  }

  onClose(): void | Promise<void> {
    return this.#agent.onClose?.()
  }
}

function doFault(kind: Kind): void {
  if (kind === 'throw') throw new Error('a fault on demand')
  // Ends when the thread is ended: by the supervisor, or for want of memory.
  // A chain, as one allocation of many megabytes at the limit is beyond what V8 can survive.
  let kept: object | undefined
  for (let i = 0; ; i++) if (kind === 'leak') kept = { i, next: kept }
}
