// One file, written by several threads: lines stay whole, and one of the threads turns it over.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SimulatedClock } from '../../../../src/clock.ts'
import { ACCESS_CHECK_MS } from '../../../../src/limits.ts'
import { silentLog } from '../../../../src/ops/log.ts'
import { AuditLog } from '../../../../src/serve/access/audit-log.ts'

const BYTES_MAX = 8192

t.test('all append to the file, and the first of them turns it over', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl')
  const clock = new SimulatedClock()
  let dropped = 0
  const onDrop = (count: number) => {
    dropped += count
  }
  const options = { file, bytesMax: BYTES_MAX, clock, log: silentLog, onDrop }
  const first = new AuditLog({ ...options, turnsOver: true })
  const second = new AuditLog({ ...options, turnsOver: false })
  const note = (log: AuditLog, what: string) =>
    log.note({ decision: 'allow', who: 'anonymous', address: '10.0.0.1', what, why: '' })
  for (let i = 0; i < 100; i++) {
    note(first, `first ${i}`)
    note(second, `second ${i}`)
  }
  await Promise.all([first.close(), second.close()])
  clock.advance(ACCESS_CHECK_MS)
  second.turn(clock.monoMs())
  t.notOk(existsSync(`${file}.1`), 'the second leaves it as it is, though it is full')
  first.turn(clock.monoMs())
  t.notOk(existsSync(file))
  const lines = readFileSync(`${file}.1`, 'utf8').trimEnd().split('\n')
  t.equal(lines.length, 200)
  t.equal(new Set(lines.map((line) => JSON.parse(line).what)).size, 200, 'each line is whole')
  note(second, 'goes on')
  await second.close()
  t.match(readFileSync(file, 'utf8'), /"what":"goes on"/)
  t.equal(dropped, 0)
})
