// Real Redis servers for a test, several of them: masters, replicas, sentinels, a cluster.
//
// Each has a directory and a TCP port on loopback of its own; all are ended by `stop`.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { freePort } from '../../src/storage/free-port.ts'
import type { NodeAddress } from '../../src/storage/redis/config.ts'
import { connect } from '../../src/storage/redis/connection.ts'
import { keySlot, SLOT_COUNT } from '../../src/storage/redis/slots.ts'
import { redisBinary } from './redis.ts'

const HOST = '127.0.0.1'
const READY_MS_MAX = 15_000
const POLL_MS = 10
export const MASTER_NAME = 'ticks'

/** One server. `lines` are its configuration beside directory and port. */
export class RedisProcess {
  readonly address: NodeAddress
  readonly directory: string
  readonly #args: readonly string[]
  #child: ChildProcess | undefined

  constructor(directory: string, port: number, lines: readonly string[], isSentinel = false) {
    this.directory = directory
    this.address = { host: HOST, port }
    mkdirSync(directory)
    const file = join(directory, 'redis.conf')
    const all = [`bind ${HOST}`, `port ${port}`, `dir ${directory}`, 'save ""', ...lines]
    writeFileSync(file, `${all.join('\n')}\n`)
    this.#args = isSentinel ? [file, '--sentinel'] : [file]
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async start(): Promise<void> {
    this.#child = spawn(redisBinary as string, this.#args, { stdio: 'ignore' })
    await until(
      async () => (await this.says('PING')) === 'PONG',
      `Redis on ${this.address.port} answers`,
    )
  }

  client(options: { username?: string; password?: string } = {}): Promise<Redis> {
    const { host, port } = this.address
    const where = `${host}:${port}`
    return connect({ options: { ...options, host, port }, where, timeoutMs: 5000 })
  }

  /** Runs one command on a connection of its own. */
  async call(command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = await this.client()
    try {
      return await client.call(command, ...args)
    } finally {
      client.disconnect()
    }
  }

  /** What it says to a command, as text; '' when it says nothing or no. */
  async says(command: string, ...args: string[]): Promise<string> {
    try {
      return String(await this.call(command, ...args))
    } catch {
      return ''
    }
  }

  async follows(): Promise<boolean> {
    return (await this.says('INFO', 'replication')).includes('master_link_status:up')
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#child?.kill(signal)
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
}

export class RedisFleet {
  readonly directory = mkdtempSync(join(tmpdir(), 'tickd-redis-fleet-'))
  readonly #members: RedisProcess[] = []
  readonly #busPorts = new Map<RedisProcess, number>()

  async add(lines: readonly string[] = [], isSentinel = false): Promise<RedisProcess> {
    const port = await freePort(HOST)
    const directory = join(this.directory, String(this.#members.length))
    const member = new RedisProcess(directory, port, lines, isSentinel)
    this.#members.push(member)
    await member.start()
    return member
  }

  /** A master, its replica, and a sentinel that watches them and may fail over alone. */
  async addSentinel(downAfterMs: number) {
    const master = await this.add(['repl-diskless-sync-delay 0'])
    const { host, port } = master.address
    const replica = await this.add([`replicaof ${host} ${port}`, 'repl-diskless-sync-delay 0'])
    await until(() => replica.follows(), 'the replica follows')
    const sentinel = await this.add(
      [
        `sentinel monitor ${MASTER_NAME} ${host} ${port} 1`,
        `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
        `sentinel failover-timeout ${MASTER_NAME} 2000`,
      ],
      true,
    )
    // It asks its servers every ten seconds otherwise; a test need not wait so long.
    await sentinel.says('SENTINEL', 'DEBUG', 'info-period', '200')
    await until(async () => {
      const replicas = await sentinel.call('SENTINEL', 'REPLICAS', MASTER_NAME)
      return Array.isArray(replicas) && replicas.length === 1
    }, 'the sentinel knows the replica')
    return { master, replica, sentinel }
  }

  /** A cluster of masters, with the slots in equal parts. */
  async addCluster(count: number): Promise<RedisProcess[]> {
    const nodes: RedisProcess[] = []
    for (let i = 0; i < count; i++) nodes.push(await this.addClusterNode())
    for (const [i, node] of nodes.entries()) {
      const first = Math.floor((SLOT_COUNT * i) / count)
      const last = Math.floor((SLOT_COUNT * (i + 1)) / count) - 1
      await node.call('CLUSTER', 'ADDSLOTSRANGE', first, last)
      await node.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    }
    const [seed, ...others] = nodes as [RedisProcess, ...RedisProcess[]]
    for (const node of others) await this.meet(seed, node)
    for (const node of nodes) {
      await until(() => isClusterReady(node, count), 'the cluster agrees')
    }
    return nodes
  }

  async addClusterNode(): Promise<RedisProcess> {
    const busPort = await freePort(HOST)
    const lines = ['cluster-enabled yes', `cluster-port ${busPort}`, 'cluster-node-timeout 1500']
    const node = await this.add([...lines, 'repl-diskless-sync-delay 0'])
    this.#busPorts.set(node, busPort)
    return node
  }

  async meet(node: RedisProcess, other: RedisProcess): Promise<void> {
    const { host, port } = other.address
    await node.call('CLUSTER', 'MEET', host, port, this.#busPorts.get(other) as number)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.kill()))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export async function clusterId(node: RedisProcess): Promise<string> {
  return String(await node.call('CLUSTER', 'MYID'))
}

/** Moves a slot with its keys, in the order that the cluster specification gives. */
export async function migrateSlot(
  slot: number,
  from: RedisProcess,
  to: RedisProcess,
  all: readonly RedisProcess[],
  betweenKeys: () => Promise<void> = async () => {},
): Promise<void> {
  const [fromId, toId] = [await clusterId(from), await clusterId(to)]
  await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
  await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
  await betweenKeys()
  const { host, port } = to.address
  for (;;) {
    const keys = (await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[]
    if (keys.length === 0) break
    for (const key of keys) {
      await from.call('MIGRATE', host, port, key, 0, 5000)
      await betweenKeys()
    }
  }
  for (const node of [to, from, ...all]) await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
}

/** The whole hash of a key from whichever node of a cluster has it. */
export async function clusterHash(
  nodes: readonly RedisProcess[],
  key: string,
): Promise<Record<string, string>> {
  for (const node of nodes) {
    const ranges = (await node.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
    const slot = keySlot(key)
    const range = ranges.find(([first, last]) => slot >= first && slot <= last)
    const owner = nodes.find(({ address }) => address.port === range?.[2][1])
    if (owner === undefined) continue
    const flat = (await owner.call('HGETALL', key)) as string[]
    const pairs = Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]])
    return Object.fromEntries(pairs)
  }
  throw new Error(`no node has ${key}`)
}

async function isClusterReady(node: RedisProcess, count: number): Promise<boolean> {
  const info = String(await node.call('CLUSTER', 'INFO'))
  return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${count}`)
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = READY_MS_MAX,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await delay(POLL_MS)
  }
}
