// What the kernel says about a process: its parent and its command line.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface ProcessInfo {
  parentPid: number
  command: string
}

/** undefined when there is no such process (or only its unreaped remains). */
export function processInfo(pid: number): ProcessInfo | undefined {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid)
}

function fromProc(pid: number): ProcessInfo | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // "pid (name) state ppid …"; the name may contain anything, the last ) ends it.
    const [state, parentPid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X') return undefined
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return { parentPid: Number(parentPid), command }
  } catch {
    // The process is gone.
    return undefined
  }
}

function fromPs(pid: number): ProcessInfo | undefined {
  const { status, stdout } = spawnSync('ps', ['-o', 'ppid=,command=', '-p', String(pid)], {
    encoding: 'utf8',
  })
  const match = /^\s*(\d+)\s+(.*)$/m.exec(stdout ?? '')
  if (status !== 0 || match === null) return undefined
  return { parentPid: Number(match[1]), command: match[2] as string }
}
