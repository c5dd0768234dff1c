// Which node of a cluster has a key: the slot of the key, and the table of slots.
//
// A slot is CRC-16 (XMODEM) of the key, or of what stands between its first { and the next }, so
// that keys with the same tag lie together: docs of Redis, "Cluster specification".

import { addressText, type NodeAddress } from './config.ts'

export const SLOT_COUNT = 16_384

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

export function keySlot(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key
  let crc = 0
  for (const byte of Buffer.from(hashed)) {
    crc = ((crc << 8) ^ (CRC_TABLE[((crc >>> 8) ^ byte) & 0xff] as number)) & 0xffff
  }
  return crc % SLOT_COUNT
}

/** Slot -> the master that has it. */
export class SlotMap {
  /** By address text. */
  readonly masters = new Map<string, NodeAddress>()
  readonly #owners: (string | undefined)[] = new Array(SLOT_COUNT)

  /**
   * From the reply to CLUSTER SLOTS: [first, last, [host, port, …], replicas …] each. A node that
   * does not know its own host says none: it is the one that was asked.
   */
  static parse(reply: unknown, asked: NodeAddress): SlotMap {
    const map = new SlotMap()
    if (!Array.isArray(reply)) throw new Error('CLUSTER SLOTS was not answered with a list')
    for (const [first, last, [host, port]] of reply as [
      number,
      number,
      [string | null, number],
    ][]) {
      const address = { host: host || asked.host, port }
      for (let slot = first; slot <= last; slot++) map.assign(slot, address)
    }
    return map
  }

  assign(slot: number, address: NodeAddress): void {
    const name = addressText(address)
    this.masters.set(name, address)
    this.#owners[slot] = name
  }

  /** The address text of the slot's master; undefined = nobody has it. */
  owner(slot: number): string | undefined {
    return this.#owners[slot]
  }

  /** Slots that have another master than in `before`. */
  changedSince(before: SlotMap): number[] {
    const changed: number[] = []
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (this.#owners[slot] !== before.#owners[slot]) changed.push(slot)
    }
    return changed
  }
}

/** Where a reply sends a command: `MOVED 866 10.0.0.2:6379`, `ASK 866 10.0.0.2:6379`. */
export interface Redirect {
  /** The slot has moved for good; otherwise only this once. */
  readonly isForGood: boolean
  readonly slot: number
  readonly address: NodeAddress
}

/** undefined = the text is no redirection. `from`: the node that said it. */
export function parseRedirect(text: string, from: NodeAddress): Redirect | undefined {
  const match = /^(MOVED|ASK) (\d+) (.*):(\d+)$/.exec(text)
  if (match === null) return undefined
  const [, word, slot, host = '', port] = match
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  const address = { host: bare || from.host, port: Number(port) }
  return { isForGood: word === 'MOVED', slot: Number(slot), address }
}
