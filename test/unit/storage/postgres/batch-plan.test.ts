import t from 'tap'
import { PARTITIONS_PER_TRANSACTION_MAX } from '../../../../src/limits.ts'
import { BatchPlan, SEVERAL_DAYS } from '../../../../src/storage/postgres/batch-plan.ts'
import { TickBatch } from '../../../../src/tick/batch.ts'
import { KIND, KIND_COUNT } from '../../../../src/tick/layout.ts'
import { i64At, NULL_I64, randomBatch, seededRandom, setI64 } from './batch-fixture.ts'

const DAY_NS = 86_400_000_000_000n
const FIRST_DAY = 10_957
const LAST_DAY = 25_000

/** Ticks of one kind at these times. */
function batchOf(times: readonly bigint[], kind: number = KIND.trade): TickBatch {
  const batch = new TickBatch(times.length)
  batch.count = times.length
  times.forEach((ns, index) => {
    setI64(batch, index, 0, ns)
    batch.setKindSide(index, kind, 0)
  })
  return batch
}

function planOf(batch: TickBatch, from = 0): BatchPlan {
  const plan = new BatchPlan(batch.capacity)
  plan.build(batch, from, FIRST_DAY, LAST_DAY)
  return plan
}

function partitionsOf(plan: BatchPlan): string[] {
  return Array.from(
    { length: plan.partitionCount },
    (_, i) => `${plan.partitionKinds[i]} ${plan.partitionDays[i]}`,
  )
}

t.test('ticks are grouped by kind, each once, in their order within the kind', (t) => {
  const batch = randomBatch(1000, 0, seededRandom(t))
  for (let i = 0; i < batch.count; i++) setI64(batch, i, 0, 20_000n * DAY_NS)
  const plan = planOf(batch)
  t.equal(plan.to, 1000)
  const seen = [...plan.order].sort((a, b) => a - b)
  t.same(
    seen,
    seen.map((_, i) => i),
  )
  for (let kind = 0; kind < KIND_COUNT; kind++) {
    const group = [...plan.order.subarray(plan.starts[kind], plan.starts[kind + 1])]
    t.ok(group.every((index) => batch.kind(index) === kind))
    t.same(
      group,
      [...group].sort((a, b) => a - b),
    )
  }
  t.end()
})

t.test('a range of the batch, without the ticks that are taken out', (t) => {
  const random = seededRandom(t)
  const batch = randomBatch(300, 0, random)
  for (let i = 0; i < batch.count; i++) setI64(batch, i, 0, 20_000n * DAY_NS)
  const plan = new BatchPlan(batch.capacity)
  for (let round = 0; round < 50; round++) {
    const from = Math.floor(random() * 299)
    const to = from + 1 + Math.floor(random() * (300 - from))
    plan.build(batch, from, FIRST_DAY, LAST_DAY, to)
    t.same([plan.from, plan.to, plan.rowCount], [from, to, to - from])
    const out = new Set([from, to - 1, from + Math.floor(random() * (to - from)), to, from - 1])
    for (const index of out) plan.exclude(index)
    const left = Array.from({ length: to - from }, (_, i) => from + i).filter((i) => !out.has(i))
    t.equal(plan.rowCount, left.length)
    t.same(
      [...plan.order.subarray(0, plan.rowCount)].sort((a, b) => a - b),
      left,
    )
    for (let kind = 0; kind < KIND_COUNT; kind++) {
      const group = plan.order.subarray(plan.starts[kind], plan.starts[kind + 1])
      t.ok(group.every((index) => batch.kind(index) === kind))
    }
  }
  t.end()
})

t.test('the days of a batch are exact to the nanosecond', (t) => {
  const day = 20_513n
  const batch = batchOf([day * DAY_NS - 1n, day * DAY_NS, (day + 1n) * DAY_NS - 1n])
  t.same(partitionsOf(planOf(batch)), ['1 20512', '1 20513'])
  t.end()
})

t.test('days of random times are those of BigInt division', (t) => {
  const random = seededRandom(t)
  const batch = randomBatch(500, KIND.quote, random)
  const plan = new BatchPlan(500)
  for (let from = 0; from < 500; from = plan.to) {
    plan.build(batch, from, -110_000, 110_000)
    const days = new Set<string>()
    for (let i = from; i < plan.to; i++) {
      const ns = i64At(batch, i, 0)
      const day = ns / DAY_NS - (ns % DAY_NS < 0n ? 1n : 0n)
      if (ns !== NULL_I64) days.add(`${KIND.quote} ${day}`)
    }
    t.same(new Set(partitionsOf(plan)), days)
    t.ok(plan.to > from, 'every plan takes something')
  }
  t.end()
})

t.test('absurd and absent times need no partition', (t) => {
  const batch = batchOf([0n, -DAY_NS, 2n ** 63n - 1n, NULL_I64, 10_956n * DAY_NS])
  const plan = planOf(batch)
  t.equal(plan.partitionCount, 0)
  t.equal(plan.to, 5)
  t.end()
})

t.test('the one day of a kind is known, and more than one, or an absent time, are told', (t) => {
  const noon = 20_000n * DAY_NS + DAY_NS / 2n
  t.equal(planOf(batchOf([noon, noon + 5n])).leafDays[KIND.trade], 20_000)
  t.equal(planOf(batchOf([noon, noon + DAY_NS])).leafDays[KIND.trade], SEVERAL_DAYS)
  t.equal(planOf(batchOf([noon, noon + DAY_NS, noon])).leafDays[KIND.trade], SEVERAL_DAYS)
  t.equal(planOf(batchOf([noon, NULL_I64])).leafDays[KIND.trade], SEVERAL_DAYS)
  t.equal(planOf(batchOf([NULL_I64, noon])).leafDays[KIND.trade], SEVERAL_DAYS)
  t.end()
})

t.test('a plan stops before the partition that would be one too many, and goes on there', (t) => {
  const count = PARTITIONS_PER_TRANSACTION_MAX * 2 + 10
  const batch = batchOf(Array.from({ length: count }, (_, i) => BigInt(20_000 + i) * DAY_NS))
  const plan = planOf(batch)
  t.equal(plan.to, PARTITIONS_PER_TRANSACTION_MAX)
  t.equal(plan.partitionCount, PARTITIONS_PER_TRANSACTION_MAX)
  plan.build(batch, plan.to, FIRST_DAY, LAST_DAY)
  t.equal(plan.to, PARTITIONS_PER_TRANSACTION_MAX * 2)
  t.equal(plan.order[0], PARTITIONS_PER_TRANSACTION_MAX)
  plan.build(batch, plan.to, FIRST_DAY, LAST_DAY)
  t.equal(plan.to, count)
  t.equal(plan.starts[KIND_COUNT], 10)
  t.end()
})
