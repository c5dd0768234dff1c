// A way to make an agent throw: lit by the schedule, blown at the agent's next duty cycle.

import type { Agent } from '../../src/threads/agent.ts'

export class Fuse {
  isLit = false

  blow(): void {
    if (!this.isLit) return
    this.isLit = false
    throw new Error('simulated failure of an agent')
  }
}

/** The agent, with a fuse in its duty cycle. */
export function fused(agent: Agent, fuse: Fuse): Agent {
  const duty = agent.doWork.bind(agent)
  agent.doWork = () => {
    fuse.blow()
    return duty()
  }
  return agent
}
