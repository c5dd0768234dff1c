// Configuration -> which agents exist and on which threads they run. Pure; no thread is started.

import type { Config } from '../config/schema.ts'
import { TickdError } from '../errors.ts'
import {
  BALANCED_THREADS,
  BALANCED_TOGETHER,
  PIPELINE,
  type Stage,
  type StageName,
} from '../pipeline.ts'

export interface AgentPlan {
  /** 'decode-0', 'serve': unique. */
  readonly roleName: string
  readonly stage: StageName
  /** Its shard, or its number among the serve agents; 0 where there is one in all. */
  readonly instance: number
  /** Slot in the lifecycle memory. */
  readonly slot: number
}

export interface ThreadPlan {
  readonly name: string
  /** Slot of its doorbell. */
  readonly bell: number
  /** Slot of its line in the lifecycle memory, behind those of the agents. */
  readonly line: number
  /** Its name as the holder of a lock in shared memory: above 0, unique; main is 1. */
  readonly owner: number
  /** True when no agent of it owns an event loop: it may sleep on its doorbell. */
  readonly blocking: boolean
  readonly agents: readonly AgentPlan[]
}

/** Main's name as the holder of a lock. */
export const MAIN_OWNER = 1

/** Which stages have no agent under this configuration. */
export interface StagesOff {
  readonly postgres: boolean
  readonly redis: boolean
}

/** The threads for `config` on a machine with `cores` cores, in the order of the pipeline. */
export function planThreads(config: Config, cores: number, off: StagesOff): ThreadPlan[] {
  const agents = planAgents(config, off)
  const threads: ThreadPlan[] = []
  for (const [name, members] of group(config, cores, agents)) {
    const blocking = members.every((agent) => stageOf(agent.stage).waits === 'blocking')
    const bell = threads.length
    threads.push({
      name,
      bell,
      line: agents.length + bell,
      owner: MAIN_OWNER + 1 + bell,
      blocking,
      agents: members,
    })
  }
  return threads
}

/** The thread on which a role runs; undefined when the role does not exist. */
export function threadOf(
  threads: readonly ThreadPlan[],
  stage: StageName,
  instance = 0,
): ThreadPlan | undefined {
  return threads.find((thread) =>
    thread.agents.some((agent) => agent.stage === stage && agent.instance === instance),
  )
}

/** The name of a serve agent: the first one's is that of the only one. */
export function serveRole(instance: number): string {
  return instance === 0 ? 'serve' : `serve-${instance}`
}

function planAgents({ shards, serve }: Config, off: StagesOff): AgentPlan[] {
  const agents: AgentPlan[] = []
  const counts = { shard: shards, one: 1, thread: serve.threads }
  for (const { stage, instances } of PIPELINE) {
    if (stage === 'postgres' && off.postgres) continue
    if (stage === 'redis' && off.redis) continue
    for (let instance = 0; instance < counts[instances]; instance++) {
      const shardRole = instances === 'shard' ? `${stage}-${instance}` : stage
      const roleName = instances === 'thread' ? serveRole(instance) : shardRole
      agents.push({ roleName, stage, instance, slot: agents.length })
    }
  }
  return agents
}

function group(
  config: Config,
  cores: number,
  agents: readonly AgentPlan[],
): Map<string, AgentPlan[]> {
  const groups = new Map<string, AgentPlan[]>()
  const setting = config.threads === 'auto' && cores > 2 ? 'dedicated' : config.threads
  for (const agent of agents) {
    const name = threadName(setting, agent)
    const members = groups.get(name) ?? []
    members.push(agent)
    groups.set(name, members)
  }
  return groups
}

function threadName(setting: Config['threads'], agent: AgentPlan): string {
  if (setting === 'dedicated' || isFurtherServe(agent)) return agent.roleName
  if (setting === 'compact') return 'all'
  return setting === 'auto'
    ? grouped(BALANCED_THREADS, agent, BALANCED_TOGETHER)
    : grouped(setting, agent, [])
}

/**
 * Shards of one stage get threads of their own, 'hot', 'hot-1' when there are several, but for the
 * threads that they have together.
 */
function grouped(
  table: Readonly<Record<string, readonly string[]>>,
  agent: AgentPlan,
  together: readonly string[],
): string {
  for (const [name, stages] of Object.entries(table)) {
    if (!stages.includes(agent.stage)) continue
    return agent.instance === 0 || together.includes(name) ? name : `${name}-${agent.instance}`
  }
  throw new TickdError('CONFIG_INVALID', `threads: no thread is given the role ${agent.stage}`)
}

/** Serve agents beyond the first are there to have cores of their own, whatever the setting. */
function isFurtherServe({ stage, instance }: AgentPlan): boolean {
  return stage === 'serve' && instance > 0
}

export function stageOf(name: StageName): Stage {
  return PIPELINE.find((stage) => stage.stage === name) as Stage
}
