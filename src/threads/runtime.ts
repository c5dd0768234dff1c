// What main works out before any thread starts, and what threads and main say to each other.
// Plain data: it crosses to workers by structured clone.

import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { ErrorCode } from '../errors.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { LogFormat } from '../ops/log.ts'
import type { AccountsQuestion, Answer, Question } from '../ops/questions.ts'
import type { SubscriberAccount } from '../serve/feed/account.ts'
import type { RedisTarget } from '../storage/redis/config.ts'
import type { ThreadPlan } from './plan.ts'
import type { SharedMemory } from './shared-memory.ts'

/** Where everything is in the state directory. */
export interface StatePaths {
  readonly state: string
  readonly instruments: string
  readonly incidents: string
  readonly ledger: string
  readonly journal: string
  readonly deadLetters: string
  readonly capture: string
  readonly postgres: string
  readonly redis: string
  readonly lock: string
  /** API keys, hashed; decisions on access. */
  readonly keys: string
  readonly audit: string
}

export function statePaths(stateDir: string): StatePaths {
  return {
    state: stateDir,
    instruments: join(stateDir, 'instruments.jsonl'),
    incidents: join(stateDir, 'incidents.jsonl'),
    ledger: join(stateDir, 'ledger'),
    journal: join(stateDir, 'journal'),
    deadLetters: join(stateDir, 'dead-letters'),
    capture: join(stateDir, 'capture'),
    postgres: join(stateDir, 'postgres'),
    redis: join(stateDir, 'redis'),
    lock: join(stateDir, 'lock'),
    keys: join(stateDir, 'keys.json'),
    audit: join(stateDir, 'audit.jsonl'),
  }
}

export interface Runtime {
  readonly config: Config
  readonly paths: StatePaths
  readonly logFormat: LogFormat
  /** Connection string, password included; '' when the store is off. */
  readonly postgresUrl: string
  /** Password included; undefined when it is off. */
  readonly redisTarget: RedisTarget | undefined
  /** Random, new at each start: names this run to subscribers. */
  readonly session: string
}

/** To a worker, which was made with its ThreadPlan: what the rest is. Its first message. */
export interface Begin {
  readonly type: 'begin'
  readonly runtime: Runtime
  readonly threads: readonly ThreadPlan[]
  readonly memory: SharedMemory
  /** Ports that listeners of an earlier life of the thread were bound to, by their name. */
  readonly ports: ReadonlyMap<string, number>
}

export type FromWorker =
  | { type: 'listening'; name: string; address: string }
  | { type: 'incident'; report: IncidentReport }
  | { type: 'question'; id: number; question: Question | AccountsQuestion }
  | { type: 'accounts'; id: number; role: string; subscribers: readonly SubscriberAccount[] }
  | {
      type: 'start-failed'
      roleName: string
      code: ErrorCode
      message: string
      stack: string | undefined
    }

/** What follows. */
export type ToWorker =
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer }
  /** Tell of up to `max` of your subscribers: see roll-call.ts. */
  | { readonly type: 'roll-call'; readonly id: number; readonly max: number }
