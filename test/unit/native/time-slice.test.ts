// The addon's setTimeSlice, against the system's own word of it where it gives one.

import { readFileSync } from 'node:fs'
import { constants, release } from 'node:os'
import t from 'tap'
import { LIVE_SLICE_US } from '../../../src/limits.ts'
import { systemAddon } from '../../../src/native/addon.ts'

const NS_PER_US = 1000
const addon = systemAddon()
const skip = addon === undefined ? 'the native addon is not built' : false

/** Of this thread, in nanoseconds; undefined where the kernel does not say. */
function sliceNs(): number | undefined {
  try {
    const found = /^se\.slice\s*:\s*(\d+)/m.exec(readFileSync('/proc/self/sched', 'utf8'))
    return found === null ? undefined : Number(found[1])
  } catch {
    return undefined
  }
}

/** Slices can be asked for since Linux 6.12; before that they are ignored. */
function hasSlices(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return process.platform === 'linux' && (major > 6 || (major === 6 && minor >= 12))
}

t.test('a thread gets the slices that it asks for', { skip }, async (t) => {
  const before = sliceNs()
  const outcome = addon?.setTimeSlice(LIVE_SLICE_US)
  const { ENOSYS, EPERM } = constants.errno
  t.ok([0, ENOSYS, EPERM].includes(outcome as number), `it answered ${outcome}`)
  if (outcome !== 0 || before === undefined || !hasSlices()) {
    t.comment('the system does not tell of slices')
    return
  }
  t.equal(sliceNs(), LIVE_SLICE_US * NS_PER_US)
  t.not(sliceNs(), before)
})

t.test('what is no number of microseconds is refused', { skip }, async (t) => {
  t.throws(() => addon?.setTimeSlice('soon' as never), /microseconds/)
})
