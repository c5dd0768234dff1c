// The state directory: made, checked, and held by one daemon at a time.
//
// The lock is a file with the owner's pid and start time: a crashed owner's lock is recognised and
// taken over, a living one's never, even when its pid has come round to another process.

import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorText, TickdError } from '../errors.ts'

export class StateLock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * Makes the directory if it is missing and takes its lock. Throws STATE_DIR_UNUSABLE when it
   * cannot be made or written, or another daemon runs on it.
   */
  static acquire(stateDir: string): StateLock {
    const path = join(stateDir, 'lock')
    try {
      // Others may pass through: an embedded PostgreSQL runs as a user of its own.
      mkdirSync(stateDir, { recursive: true, mode: 0o755 })
      accessSync(stateDir, constants.W_OK | constants.X_OK)
      take(path, stateDir)
    } catch (error) {
      if (error instanceof TickdError) throw error
      throw new TickdError(
        'STATE_DIR_UNUSABLE',
        `state directory ${stateDir} cannot be used (${errorText(error)}); choose another with ` +
          '--set state_dir=DIR or TICKD_STATE_DIR',
        { cause: error },
      )
    }
    return new StateLock(path)
  }

  release(): void {
    rmSync(this.#path, { force: true })
  }
}

function take(path: string, stateDir: string): void {
  const mine = `${process.pid} ${startTime(process.pid)}\n`
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx', mode: 0o644 })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const [pid = '', started = ''] = readFileSync(path, 'utf8').trim().split(' ')
    if (pid !== '' && started !== '' && startTime(Number(pid)) === started) {
      throw new TickdError(
        'STATE_DIR_UNUSABLE',
        `state directory ${stateDir} is in use by another tickd (pid ${pid}); stop it, or choose ` +
          'another directory with --set state_dir=DIR',
      )
    }
    rmSync(path, { force: true })
  }
  throw new TickdError('STATE_DIR_UNUSABLE', `state directory ${stateDir}: the lock is contended`)
}

/** Start time of a process in clock ticks since boot, from /proc; elsewhere, whether it lives. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Fields after the parenthesised command name; start time is field 22 of the whole.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    try {
      process.kill(pid, 0)
      return process.platform === 'linux' ? '' : 'alive'
    } catch {
      return ''
    }
  }
}
