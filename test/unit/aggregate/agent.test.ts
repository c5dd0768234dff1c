import t from 'tap'
import { AggregateAgent, type JournalTail } from '../../../src/aggregate/agent.ts'
import { LatestTable } from '../../../src/aggregate/latest-table.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import { GATING_SLOT } from '../../../src/pipeline.ts'
import { TickRingConsumer, TickRingProducer } from '../../../src/ring/tick-ring.ts'
import { createTickRing } from '../../../src/ring/tick-ring-layout.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { readNumber, writeInteger } from '../../../src/tick/fixed-point.ts'
import { FLAG, KIND, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'

interface Row {
  kind: number
  instrument: number
  value: number
  flags?: number
}

function batchOf(rows: readonly Row[]): TickBatch {
  const batch = new TickBatch(Math.max(1, rows.length))
  rows.forEach(({ kind, instrument, value, flags = 0 }, i) => {
    batch.setKindSide(i, kind, 0)
    batch.setInstrument(i, instrument)
    batch.setFlags(i, flags)
    writeInteger(batch.words, i * TICK_WORDS + WORD.p0, value)
  })
  batch.count = rows.length
  return batch
}

function tailOf(rows: readonly Row[], firstSeq: number): JournalTail & { closed: boolean } {
  const batch = batchOf(rows)
  return {
    seq: firstSeq,
    closed: false,
    read(out) {
      out.count = this.seq === firstSeq ? batch.count : 0
      out.bytes.set(batch.bytes.subarray(0, out.count * 64))
      ;(this as { seq: number }).seq += out.count
      return out.count
    },
    close() {
      this.closed = true
    },
  }
}

function rig(firstSeq: number, tail?: () => JournalTail) {
  const ring = createTickRing(64, firstSeq)
  const producer = new TickRingProducer(ring, firstSeq, [GATING_SLOT.aggregate])
  const latest = new LatestTable(LatestTable.create(16), 16)
  const counters = new CounterSet(counterNames('aggregate'))
  const consumer = new TickRingConsumer(ring, GATING_SLOT.aggregate, firstSeq)
  let changes = 0
  const onChange = () => {
    changes++
  }
  const rings = [{ shard: 0, consumer, tail }]
  const agent = new AggregateAgent({ rings, latest, counters, onChange })
  const out = new TickBatch(1)
  const value = (instrument: number, kind: number) => {
    const seq = latest.read(instrument, kind, out, 0)
    return seq < 0 ? undefined : { seq, value: readNumber(out.words, WORD.p0) }
  }
  return { agent, producer, latest, counters, value, changes: () => changes }
}

t.test('the newest record of each instrument and kind is in the table', (t) => {
  const { agent, producer, counters, value } = rig(100)
  const rows = [
    { kind: KIND.trade, instrument: 1, value: 10 },
    { kind: KIND.quote, instrument: 1, value: 20 },
    { kind: KIND.book, instrument: 1, value: 30 },
    { kind: KIND.trade, instrument: 2, value: 40 },
    { kind: KIND.trade, instrument: 1, value: 11 },
  ]
  producer.publish(batchOf(rows), 0, rows.length)
  t.equal(agent.doWork(), 5)
  t.same(value(1, KIND.trade), { seq: 104, value: 11 })
  t.same(value(1, KIND.quote), { seq: 101, value: 20 })
  t.same(value(2, KIND.trade), { seq: 103, value: 40 })
  t.equal(value(2, KIND.quote), undefined)
  t.equal(counters.get('records'), 5)
  t.equal(producer.available(), 64, 'what was read is given back')
  t.ok(agent.drain())
  t.end()
})

t.test('a change is told once a duty cycle, and none is not; a start tells in any case', (t) => {
  const { agent, producer, changes } = rig(0)
  agent.onStart()
  t.equal(changes(), 1)
  agent.doWork()
  t.equal(changes(), 1)
  const rows = Array.from({ length: 20 }, (_, value) => ({
    kind: KIND.trade,
    instrument: 1,
    value,
  }))
  producer.publish(batchOf(rows), 0, rows.length)
  agent.doWork()
  t.equal(changes(), 2)
  t.end()
})

t.test('a record that is out of order replaces nothing', (t) => {
  const { agent, producer, value } = rig(0)
  const late = { kind: KIND.trade, instrument: 1, value: 9, flags: FLAG.OUT_OF_ORDER }
  producer.publish(batchOf([{ kind: KIND.trade, instrument: 1, value: 10 }, late]), 0, 2)
  agent.doWork()
  t.same(value(1, KIND.trade), { seq: 0, value: 10 })
  t.end()
})

t.test('records that wrap round the end of the ring are applied in order', (t) => {
  const { agent, producer, value } = rig(0)
  const rows = Array.from({ length: 48 }, (_, i) => ({
    kind: KIND.trade,
    instrument: 1 + (i % 3),
    value: i,
  }))
  for (let round = 0; round < 2; round++) {
    producer.publish(batchOf(rows), 0, rows.length)
    while (agent.doWork() > 0);
  }
  t.same(value(3, KIND.trade), { seq: 95, value: 47 })
  t.end()
})

t.test('a start reads the tail of the journal, so that latest values survive', (t) => {
  const tail = tailOf([{ kind: KIND.trade, instrument: 5, value: 55 }], 90)
  const { agent, producer, value } = rig(91, () => tail)
  agent.onStart()
  t.same(value(5, KIND.trade), { seq: 90, value: 55 })
  t.ok(tail.closed)
  producer.publish(batchOf([{ kind: KIND.trade, instrument: 5, value: 56 }]), 0, 1)
  agent.doWork()
  t.same(value(5, KIND.trade), { seq: 91, value: 56 })
  t.end()
})

t.test('a restarted agent takes nothing older than the table from the journal', (t) => {
  const rows = [
    { kind: KIND.trade, instrument: 1, value: 1 },
    { kind: KIND.trade, instrument: 2, value: 2 },
  ]
  const { agent, latest, value } = rig(50, () => tailOf(rows, 10))
  latest.write(batchOf([{ kind: KIND.trade, instrument: 1, value: 99 }]).words, 0, 40)
  agent.onStart()
  t.same(value(1, KIND.trade), { seq: 40, value: 99 })
  t.same(value(2, KIND.trade), { seq: 11, value: 2 })
  t.end()
})
