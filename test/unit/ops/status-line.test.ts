import t from 'tap'
import { StatusLine } from '../../../src/ops/status-line.ts'

t.test('rates are differences over the time that passed', async (t) => {
  const line = new StatusLine()
  const base = { records: 0, durable: 0, stored: 0, subscribers: 0, delivered: 0, refused: 0 }
  t.equal(line.next(base, 1000), '')
  const next = { ...base, records: 3_000_000, durable: 25_000, stored: 24_000, subscribers: 2 }
  const text = line.next(next, 3000)
  t.match(text, /in 1\.50 M\/s/)
  t.match(text, /durable 12\.5 k\/s/)
  t.match(text, /behind 1000/)
  t.match(text, /to 2 /)
})
