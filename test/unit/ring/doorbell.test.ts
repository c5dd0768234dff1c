// Doorbell on one thread: what each side does at each point of the other's way to sleep.

import t from 'tap'
import { Doorbell } from '../../../src/ring/doorbell.ts'

const FOREVER_MS = 10_000

t.test('a ring between prepare and wait makes wait return at once', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  bell.prepare()
  bell.ring()
  const began = performance.now()
  bell.wait(FOREVER_MS)
  t.ok(performance.now() - began < FOREVER_MS / 2)
})

t.test('a ring between prepare and waitAsync makes it return at once', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  bell.prepare()
  bell.ring()
  await bell.waitAsync(FOREVER_MS)
  t.pass('returned')
})

t.test('a ring ends waitAsync', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  // A pending waitAsync does not keep the event loop alive.
  const keepAlive = setInterval(() => {}, 1000)
  bell.prepare()
  const waiting = bell.waitAsync(FOREVER_MS)
  const began = performance.now()
  bell.ring()
  await waiting
  clearInterval(keepAlive)
  t.ok(performance.now() - began < FOREVER_MS / 2)
})

t.test('without a ring the wait ends at its time-out', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  bell.prepare()
  bell.wait(1)
  bell.wake()
  bell.ring()
  bell.prepare()
  const began = performance.now()
  bell.wait(5)
  t.ok(performance.now() - began >= 4, 'a ring to a thread awake leaves nothing behind')
})

t.test('bells of one memory do not ring each other', async (t) => {
  const memory = new SharedArrayBuffer(Doorbell.bytes(3))
  const [first, second] = [new Doorbell(memory, 0), new Doorbell(memory, 2)]
  first.prepare()
  second.ring()
  const began = performance.now()
  first.wait(5)
  t.ok(performance.now() - began >= 4)
  t.throws(() => new Doorbell(memory, 3), /within its memory/)
})

t.test('a handler of the sleeping thread ends the sleep before the loop turns', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  let turns = 0
  const turn = () => {
    turns++
    immediate = setImmediate(turn)
  }
  let immediate = setImmediate(turn)
  for (let sleep = 0; sleep < 3; sleep++) {
    bell.prepare()
    const waiting = bell.waitAsync(FOREVER_MS)
    await new Promise((resolve) => setTimeout(resolve, 1))
    const before = turns
    bell.ring()
    await waiting
    t.equal(turns, before)
    bell.wake()
  }
  clearImmediate(immediate)
})

t.test('sleeps that the thread itself ended leave it to be woken by others', async (t) => {
  const memory = new SharedArrayBuffer(Doorbell.bytes(1))
  const [ours, elsewhere] = [new Doorbell(memory, 0), new Doorbell(memory, 0)]
  const keepAlive = setInterval(() => {}, 1000)
  for (const ringer of [ours, elsewhere, elsewhere, ours, elsewhere]) {
    ours.prepare()
    const waiting = ours.waitAsync(FOREVER_MS)
    const began = performance.now()
    ringer.ring()
    await waiting
    ours.wake()
    t.ok(performance.now() - began < FOREVER_MS / 2)
  }
  clearInterval(keepAlive)
})

t.test('each sleep has its own time-out', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  const keepAlive = setInterval(() => {}, 1000)
  for (const timeoutMs of [5, 5, 20, 5]) {
    bell.prepare()
    const began = performance.now()
    await bell.waitAsync(timeoutMs)
    t.ok(performance.now() - began >= timeoutMs - 1.5, `${timeoutMs} ms`)
    bell.wake()
  }
  clearInterval(keepAlive)
})

t.test('a nap is not announced: a ring neither ends it nor is remembered', async (t) => {
  const bell = new Doorbell(new SharedArrayBuffer(Doorbell.bytes(1)), 0)
  bell.ring()
  const began = performance.now()
  bell.nap(5)
  t.ok(performance.now() - began >= 4)
})
