// The connections to Redis: one to a server, or one to each master of a cluster.
//
// Commands go out in one pipeline a node. Redirections of a cluster (MOVED, ASK, TRYAGAIN) are
// followed command by command, whatever became of the others. Any other trouble ends the whole:
// the owner gives it up and opens another, which asks sentinels or cluster anew.
//
// Not ioredis's Cluster: it refuses a pipeline over several masters, sends none of it again when
// some of it has moved, and has waits, queues and reconnections of its own.

import type { Redis } from 'ioredis'
import { errorText } from '../../errors.ts'
import { REDIS_CLUSTER_NODES_MAX } from '../../limits.ts'
import { addressText, type ClientOptions, type NodeAddress, type RedisTarget } from './config.ts'
import { connect } from './connection.ts'
import { explain } from './replies.ts'
import { findMaster } from './sentinel.ts'
import { keySlot, parseRedirect, SlotMap } from './slots.ts'

/** A command that is sent on more often meets a cluster that does not agree with itself. */
const REDIRECTS_MAX = 16
/** The only server, when there is no cluster. */
const ONLY = ''

/** Whoever sends it again does no harm: it sets what is current. */
export interface NodeCommand {
  readonly key: string
  readonly name: string
  readonly args: readonly (string | number)[]
}

export interface RedisNodesOptions {
  readonly target: RedisTarget
  readonly timeoutMs: number
  /** Of the opening as a whole; without it, as long as its connections may take. */
  readonly openMsMax?: number
  /** A connection was lost: nothing more is to be had from here. */
  readonly onLost: () => void
}

/** A command under way: where it was sent on to, if it was. */
interface Sending extends NodeCommand {
  asked: NodeAddress | undefined
}

interface Node {
  readonly redis: Redis
  readonly address: NodeAddress
}

export class RedisNodes {
  readonly #options: RedisNodesOptions
  readonly #nodes = new Map<string, Node>()
  readonly #moved = new Set<number>()
  /** Where the master was; of a sentinel's target. */
  #master: NodeAddress | undefined
  #slots: SlotMap | undefined
  #isStale = false
  /** Ends the connections that are being made. */
  readonly #closing = new AbortController()
  #bytesClosed = 0

  private constructor(options: RedisNodesOptions) {
    this.#options = options
  }

  /** Throws TickdError REDIS_UNREACHABLE or REDIS_REFUSED. */
  static async open(options: RedisNodesOptions): Promise<RedisNodes> {
    const { target, timeoutMs, openMsMax = Number.POSITIVE_INFINITY } = options
    const nodes = new RedisNodes(options)
    // Connections have limits of their own; what is asked on them has not.
    const limitMs = Math.min(timeoutMs * (target.seeds.length + 2), openMsMax)
    let reason: unknown
    const timer = setTimeout(() => {
      reason = new Error(`no answer within ${limitMs} ms`)
      nodes.close()
    }, limitMs)
    try {
      await nodes.#open()
      return nodes
    } catch (thrown) {
      nodes.close()
      throw explain(reason ?? thrown, target.show)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Bytes that came from Redis so far: grows as long as it answers. */
  get bytesRead(): number {
    let bytes = this.#bytesClosed
    for (const { redis } of this.#nodes.values()) bytes += redis.stream.bytesRead
    return bytes
  }

  /** Resolves when every command was carried out. Throws as `open`; then close this. */
  async send(commands: readonly NodeCommand[]): Promise<void> {
    try {
      let left = commands.map((command): Sending => ({ ...command, asked: undefined }))
      for (let round = 0; left.length > 0; round++) {
        if (round > REDIRECTS_MAX) throw new Error('a command was redirected again and again')
        // Some nodes could tell of a slot's move before others have heard of it.
        if (this.#isStale && round > 1) await this.#refresh()
        left = await this.#sendOnce(left)
      }
      if (this.#isStale) await this.#refresh()
    } catch (thrown) {
      throw explain(thrown, this.#options.target.show)
    }
  }

  /**
   * Is this still where writes belong? A master that was demoted while nothing was written would
   * not be noticed otherwise. Throws as `open`.
   */
  async check(): Promise<void> {
    const { target, timeoutMs } = this.#options
    try {
      if (target.kind === 'cluster') return await this.#refresh()
      if (target.kind === 'sentinel') {
        // Sentinels that are all away say nothing against a master that answers.
        const limitMs = timeoutMs / (target.seeds.length + 1)
        const { signal } = this.#closing
        const master = await findMaster(target, limitMs, signal).catch(() => this.#master)
        if (master !== undefined && addressText(master) !== addressText(this.#master ?? master)) {
          throw new Error(`the master is now ${addressText(master)}`)
        }
      }
      await this.#nodes.get(ONLY)?.redis.ping()
    } catch (thrown) {
      throw explain(thrown, target.show)
    }
  }

  /**
   * Slots that got another master since the last call. After a failover that master may lack what
   * the one before it had confirmed: replication does not wait.
   */
  takeMoved(): ReadonlySet<number> {
    const moved = new Set(this.#moved)
    this.#moved.clear()
    return moved
  }

  /** The version that a server says it has; 'unknown' when it may not be asked. */
  async version(): Promise<string> {
    const [node] = this.#nodes.values()
    const info = await node?.redis.info('server').catch(() => '')
    return /redis_version:(\S+)/.exec(info ?? '')?.[1] ?? 'unknown'
  }

  close(): void {
    this.#closing.abort()
    for (const { redis } of this.#nodes.values()) redis.disconnect()
  }

  async #open(): Promise<void> {
    const { target, timeoutMs } = this.#options
    if (target.kind === 'cluster') return await this.#openCluster()
    if (target.kind === 'single') {
      const { host = '', port = 0 } = target.options
      await this.#connect(ONLY, { host, port }, target.options)
      return
    }
    this.#master = await findMaster(target, timeoutMs, this.#closing.signal)
    await this.#connect(ONLY, this.#master, { ...target.options, ...this.#master })
    // Sentinels may be a moment late: a server that has been demoted says so itself.
    const role = await (this.#nodes.get(ONLY) as Node).redis.call('ROLE')
    if (Array.isArray(role) && role[0] !== 'master') {
      throw new Error(`${addressText(this.#master)} is no master yet, or no more`)
    }
  }

  /** The first node that answers names all. */
  async #openCluster(): Promise<void> {
    let reason: unknown
    for (const seed of this.#options.target.seeds) {
      try {
        await this.#node(seed)
        await this.#refresh()
        return
      } catch (thrown) {
        reason = thrown
      }
    }
    throw reason
  }

  /** Asks any node which slots are whose, and connects to those who are new. */
  async #refresh(): Promise<void> {
    this.#isStale = false
    const [node] = this.#nodes.values()
    if (node === undefined) throw new Error('no node is connected')
    const slots = SlotMap.parse(await node.redis.call('CLUSTER', 'SLOTS'), node.address)
    if (slots.masters.size === 0) throw new Error('the cluster has given its slots to no node')
    if (this.#slots !== undefined) {
      for (const slot of slots.changedSince(this.#slots)) this.#moved.add(slot)
    }
    this.#slots = slots
    await Promise.all([...slots.masters.values()].map((address) => this.#node(address)))
    for (const [name, old] of this.#nodes) {
      if (slots.masters.has(name)) continue
      this.#nodes.delete(name)
      this.#bytesClosed += old.redis.stream.bytesRead
      old.redis.disconnect()
    }
  }

  async #node(address: NodeAddress): Promise<Node> {
    const name = addressText(address)
    const known = this.#nodes.get(name)
    if (known !== undefined) return known
    if (this.#nodes.size >= REDIS_CLUSTER_NODES_MAX) {
      throw new Error(`the cluster has more than ${REDIS_CLUSTER_NODES_MAX} masters`)
    }
    return await this.#connect(name, address, { ...this.#options.target.options, ...address })
  }

  async #connect(name: string, address: NodeAddress, options: ClientOptions): Promise<Node> {
    const { target, timeoutMs, onLost } = this.#options
    let node: Node | undefined
    const redis = await connect({
      options,
      where: name === ONLY ? target.show : `${name} (${target.show})`,
      timeoutMs,
      signal: this.#closing.signal,
      onLost: () => {
        // One that was let go is nobody's loss.
        if (!this.#closing.signal.aborted && node !== undefined && this.#nodes.get(name) === node)
          onLost()
      },
    })
    node = { redis, address }
    this.#nodes.set(name, node)
    if (this.#closing.signal.aborted) redis.disconnect()
    return node
  }

  /** One pipeline a node. Returns the commands that are to be sent elsewhere. */
  async #sendOnce(commands: readonly Sending[]): Promise<Sending[]> {
    const byNode = new Map<Node, Sending[]>()
    for (const command of commands) {
      const node = await this.#nodeOf(command)
      const members = byNode.get(node)
      if (members === undefined) byNode.set(node, [command])
      else members.push(command)
    }
    const redirected = await Promise.all(
      [...byNode].map(([node, members]) => this.#sendTo(node, members)),
    )
    return redirected.flat()
  }

  async #nodeOf(command: Sending): Promise<Node> {
    if (this.#slots === undefined) return this.#nodes.get(ONLY) as Node
    if (command.asked !== undefined) return await this.#node(command.asked)
    const slot = keySlot(command.key)
    const node = this.#nodes.get(this.#slots.owner(slot) ?? '')
    if (node === undefined) throw new Error(`CLUSTERDOWN slot ${slot} is not served`)
    return node
  }

  async #sendTo(node: Node, commands: readonly Sending[]): Promise<Sending[]> {
    const pipeline = node.redis.pipeline()
    for (const { name, args, asked } of commands) {
      if (asked !== undefined) pipeline.call('ASKING')
      pipeline.call(name, ...args)
    }
    const replies = (await pipeline.exec()) ?? []
    const redirected: Sending[] = []
    let at = 0
    for (const command of commands) {
      if (command.asked !== undefined) at++
      const error = replies[at++]?.[0]
      if (error == null) continue
      if (!(await this.#isRedirected(command, errorText(error), node))) throw error
      redirected.push(command)
    }
    return redirected
  }

  /** Notes where a command is to be sent in place of `node`. False: it is not redirected. */
  async #isRedirected(command: Sending, said: string, node: Node): Promise<boolean> {
    if (this.#slots === undefined) return false
    // The slot is between two nodes for a moment.
    if (said.startsWith('TRYAGAIN')) return true
    const redirect = parseRedirect(said, node.address)
    if (redirect === undefined) return false
    command.asked = redirect.isForGood ? undefined : redirect.address
    await this.#node(redirect.address)
    if (redirect.isForGood) {
      this.#slots.assign(redirect.slot, redirect.address)
      this.#moved.add(redirect.slot)
      this.#isStale = true
    }
    return true
  }
}
