// A real Redis for a test: a throw-away server on a unix socket in a temporary directory.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { silentLog } from '../../src/ops/log.ts'
import { findRedisBinary } from '../../src/storage/redis/binary.ts'
import { type RedisTarget, urlTarget } from '../../src/storage/redis/config.ts'
import { connect } from '../../src/storage/redis/connection.ts'
import { EmbeddedRedis } from '../../src/storage/redis/embedded.ts'

/** Absent: tests that need a Redis say so and are passed over. */
export const redisBinary = findRedisBinary()

export interface TestRedis {
  readonly server: EmbeddedRedis
  readonly url: string
  readonly target: RedisTarget
  readonly directory: string
  /** A client; the caller disconnects it. */
  client(): Promise<Redis>
  /** Stops the server and removes its directory. */
  stop(): Promise<void>
}

export async function startRedis(): Promise<TestRedis> {
  if (redisBinary === undefined) throw new Error('there is no redis-server on PATH')
  const directory = mkdtempSync(join(tmpdir(), 'tickd-redis-'))
  const server = await EmbeddedRedis.start({ directory, binary: redisBinary, log: silentLog })
  const target = urlTarget(server.url)
  return {
    server,
    url: server.url,
    target,
    directory,
    client: () => connect({ options: target.options, where: target.show, timeoutMs: 5000 }),
    async stop() {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
