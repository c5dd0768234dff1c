// A thread to profile: sleeps on shared memory between rounds of work, or never ends one.

import { workerData } from 'node:worker_threads'

const { memory, mode } = workerData as { memory: SharedArrayBuffer; mode: string }
const words = new Int32Array(memory)
/** Kept, so that no compiler leaves the work out. */
const sums = new Float64Array(memory, 8, 1)

/** A sort of two calls a function once, from within V8: it is not inlined, and cannot be missed. */
const pair = [0, 0]

/** Some milliseconds: a sampler that is starved by other work still finds the thread in here. */
function round(): void {
  for (let i = 0; i < 200; i++) pair.sort(workInLoop)
  pair.sort(allocateMuch)
}

function workInLoop(): number {
  let sum = 0
  for (let i = 0; i < 1e4; i++) sum += Math.sqrt(i)
  sums[0] = sum
  return 0
}

function allocateMuch(): number {
  const made: object[] = []
  for (let i = 0; i < 4000; i++) made.push({ i, text: `${i}` })
  return made.length
}

// Compiled for good: V8's profiler does not know code that was compiled for a loop under way before
// the profile began, and counts it to the caller.
for (let i = 0; i < 100; i++) round()
// Ready.
Atomics.store(words, 1, 1)
Atomics.notify(words, 1)
if (mode === 'event-loop') setInterval(round, 2)
else if (mode === 'hang') for (;;) round()
else {
  while (Atomics.load(words, 0) === 0) {
    round()
    // Blocks the thread: its event loop never turns.
    Atomics.wait(words, 0, 0, 2)
  }
}
