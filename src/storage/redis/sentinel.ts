// Which server is the master now? The sentinels know; the first that answers is believed.

import { errorText, TickdError } from '../../errors.ts'
import { addressText, type NodeAddress, type RedisTarget } from './config.ts'
import { connect } from './connection.ts'

/** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
export async function findMaster(
  target: RedisTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<NodeAddress> {
  const { seeds, masterName, sentinelOptions, show } = target
  const problems: string[] = []
  for (const { host, port } of seeds) {
    const where = `sentinel ${addressText({ host, port })}`
    try {
      const options = { ...sentinelOptions, host, port }
      const sentinel = await connect({ options, where, timeoutMs, signal })
      const timer = setTimeout(() => sentinel.disconnect(), timeoutMs)
      try {
        const found = await sentinel.call('SENTINEL', 'get-master-addr-by-name', masterName)
        if (Array.isArray(found)) return { host: String(found[0]), port: Number(found[1]) }
        problems.push(`${where} knows no master ${masterName}`)
      } finally {
        clearTimeout(timer)
        sentinel.disconnect()
      }
    } catch (thrown) {
      if (thrown instanceof TickdError && !thrown.canRetry) throw thrown
      problems.push(errorText(thrown))
    }
  }
  throw new TickdError(
    'REDIS_UNREACHABLE',
    `Redis at ${show}: no sentinel names its master: ${problems.join('; ')}`,
    { canRetry: true },
  )
}
