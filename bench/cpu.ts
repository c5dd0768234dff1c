// CPU seconds of a process and its descendants, and of the machine, from /proc. Linux only, as the
// benches are.

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

/** CPU seconds of all processors since the machine began. */
export interface MachineTimes {
  /** In which there was something to run: that ran, or would have. */
  readonly wanted: number
  /** Of these, what a virtual machine's host gave to others. */
  readonly stolen: number
}

export function machineTimes(): MachineTimes {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n')
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, stolen = 0] = first
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / TICKS_PER_SECOND)
  return { wanted: user + nice + system + irq + softirq + stolen, stolen }
}

/** What the host gave to others since `before`, in percent of what was wanted. */
export function stolenPercentSince(before: MachineTimes): number {
  const now = machineTimes()
  const wanted = now.wanted - before.wanted
  return wanted > 0 ? ((now.stolen - before.stolen) / wanted) * 100 : 0
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
