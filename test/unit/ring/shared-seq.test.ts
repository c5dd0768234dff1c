// Sequences that one thread writes and others read.

import t from 'tap'
import { SEQ_MAX } from '../../../src/limits.ts'
import { SharedSeq } from '../../../src/ring/shared-seq.ts'

t.test('any sequence is read as it was stored, and slots are apart', async (t) => {
  const memory = new SharedArrayBuffer(SharedSeq.bytes(2))
  const [first, second] = [new SharedSeq(memory, 0), new SharedSeq(memory, 1)]
  for (const seq of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, SEQ_MAX]) {
    first.store(seq)
    t.equal(new SharedSeq(memory, 0).load(), seq)
    t.equal(second.load(), 0)
  }
  t.throws(() => first.store(-1), /sequence is in/)
  t.throws(() => first.store(SEQ_MAX + 1), /sequence is in/)
  t.throws(() => new SharedSeq(memory, 2), /within its memory/)
})
