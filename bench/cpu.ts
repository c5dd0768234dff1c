// CPU seconds of a process and its descendants, from /proc. Linux only, as the benches are.

import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

interface Stat {
  pid: number
  parent: number
  cpuSeconds: number
}

/** CPU seconds used so far by `root` and all that descend from it (also of those that ended). */
export function cpuSecondsOfTree(root: number): number {
  const stats = readAll()
  const tree = new Set([root])
  // Parents may have larger pids than children: go on until nothing is added.
  for (let size = 0; size !== tree.size; ) {
    size = tree.size
    for (const { pid, parent } of stats) if (tree.has(parent)) tree.add(pid)
  }
  return stats.reduce((sum, { pid, cpuSeconds }) => sum + (tree.has(pid) ? cpuSeconds : 0), 0)
}

/** CPU seconds used so far by one process alone. */
export function cpuSecondsOf(pid: number): number {
  return readAll().find((stat) => stat.pid === pid)?.cpuSeconds ?? 0
}

/** Milliseconds that a process's main thread has run, from the scheduler: exact to microseconds. */
export function runMsOfMainThread(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6
}

function readAll(): Stat[] {
  const stats: Stat[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8')
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      // Of the whole line: 4 ppid, 14-17 utime stime cutime cstime (in clock ticks).
      const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15).map(Number)
      const cpuSeconds = (utime + stime + cutime + cstime) / TICKS_PER_SECOND
      stats.push({ pid: Number(name), parent: Number(fields[1]), cpuSeconds })
    } catch {
      // The process ended meanwhile.
    }
  }
  return stats
}
