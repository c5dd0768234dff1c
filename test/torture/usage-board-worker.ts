// One of the threads that torture a UsageBoard: it keeps a place for a name that all have, with
// numbers that never change; a name of its own goes from place to place; others of its names come
// and go, with numbers of their own. All the while it looks at the others' columns.

import { parentPort, workerData } from 'node:worker_threads'
import { UsageBoard, type UsagePlace } from '../../src/serve/access/usage-board.ts'

export interface TortureData {
  readonly memory: SharedArrayBuffer
  readonly columns: number
  readonly own: number
  /** Of the name that all have, of each thread. */
  readonly steady: number
  readonly rounds: number
  readonly seed: number
}

/** What other names count: never to be seen as the steady one. */
const ANOTHER = 1_000_000
/** More than there is room for: whoever goes makes room for another. */
const NAMES = 120

const { memory, columns, own, steady, rounds, seed } = workerData as TortureData
const board = new UsageBoard(memory, columns, own, 'salt')
board.clear()
const place = board.place('steady') as UsagePlace
place.add(0, steady)
place.setMoment(0, steady)
/** Names that wander, by the thread whose they are: the others only look for them. */
const wanderers = Array.from({ length: columns }, (_, thread) => board.place(`wanderer ${thread}`))
let state = seed
const random = (below: number) => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

/** Or not there, just now. */
const isSteady = (count: number) => count === steady || count === 0

parentPort?.once('message', () => {
  const others: (UsagePlace | undefined)[] = []
  let wrong = 0
  for (let round = 0; round < rounds; round++) {
    const name = random(NAMES)
    const other = others[name]
    if (other === undefined) {
      others[name] = board.place(`${own} ${name}`)
      others[name]?.add(0, ANOTHER)
      others[name]?.setMoment(0, ANOTHER)
    } else {
      other.add(0, -ANOTHER)
      other.release()
      others[name] = undefined
    }
    if (round % 8 === 0) {
      wanderers[own]?.release()
      wanderers[own] = undefined
    } else if (round % 8 === 4) {
      wanderers[own] = board.place(`wanderer ${own}`)
      wanderers[own]?.add(0, steady)
    }
    if (place.count(0) !== steady * columns || place.moment(0) !== steady) wrong++
    for (const wanderer of wanderers) if (!isSteady(wanderer?.count(0) ?? 0)) wrong++
  }
  parentPort?.postMessage({ wrong, count: place.count(0) })
})
parentPort?.postMessage('ready')
