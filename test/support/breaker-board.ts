// Where a breaker under test is seen, in memory of its own.

import { counterNames } from '../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../src/ops/counters.ts'
import { SharedText } from '../../src/ring/shared-text.ts'
import type { BreakerBoard } from '../../src/storage/breaker.ts'

export function breakerBoard(): BreakerBoard {
  return {
    counters: new CounterSet(counterNames('breaker')),
    lastError: new SharedText(new SharedArrayBuffer(SharedText.bytes(1)), 0),
  }
}
