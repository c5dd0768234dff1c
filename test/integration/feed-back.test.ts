import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { readNumber } from '../../src/tick/fixed-point.ts'
import { KIND, TICK_WORDS, WORD } from '../../src/tick/layout.ts'
import { type DataFrame, FeedClient } from '../support/feed-client.ts'
import { JournalledRig } from '../support/journalled-rig.ts'
import type { RigOptions } from '../support/serve-rig.ts'

const FB = 'tickd.v1.fb'

function stateFor(t: Test): string {
  const state = mkdtempSync(join(tmpdir(), 'tickd-back-'))
  t.teardown(() => rmSync(state, { recursive: true, force: true }))
  return state
}

async function rigOn(t: Test, state: string, options: RigOptions = {}): Promise<JournalledRig> {
  const rig = new JournalledRig(state, options)
  await rig.start()
  t.teardown(() => rig.kill())
  return rig
}

async function clientFor(t: Test, rig: JournalledRig, protocol = FB): Promise<FeedClient> {
  const client = await FeedClient.open(rig.feed, protocol)
  t.teardown(() => client.close())
  return client
}

/** The prices of a frame's trades, which are the numbers they were published with. */
function valuesOf({ batch, records }: DataFrame): number[] {
  if (batch === undefined) return records.map(({ price }) => Number(price))
  return Array.from({ length: batch.count }, (_, i) => {
    return readNumber(batch.words, i * TICK_WORDS + WORD.p0) / 1e9
  })
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

for (const protocol of [FB, 'tickd.v1.msgpack', 'tickd.v1.json']) {
  t.test(`${protocol}: a client goes on where it stopped, and on with what is live`, async (t) => {
    const rig = await rigOn(t, stateFor(t), { settings: { frame_ticks: 64 } })
    rig.trades(1, 1000)
    await rig.settled()
    const client = await clientFor(t, rig, protocol)
    const sent: Buffer[] = []
    client.ws.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary || data.toString().startsWith('{"op":"data"')) sent.push(data)
    })
    const from = { epoch: rig.epoch, seq: 401 }
    const ack = await client.ask({ op: 'subscribe', channel: 'trades', from })
    t.match(ack, { op: 'ack', epoch: rig.epoch, next_seq: 401, replay: true })
    const done = await client.op('replay_completed')
    t.match(done, { epoch: rig.epoch, next_seq: 1001, count: 600 })
    t.equal(done.digest, crc32(Buffer.concat(sent)).toString(16).padStart(8, '0'))
    rig.trades(1001, 100)
    await client.until(() => client.recordCount(ack.stream as number) === 700, 'all records')
    t.same(client.frames.flatMap(valuesOf), range(401, 700))
    t.same(
      client.frames.flatMap(({ firstSeq, count }) => range(firstSeq, count)),
      range(401, 700),
      'each has the sequence that it always had',
    )
  })
}

t.test('a resume under load is taken over by the live frames without a break', async (t) => {
  const rig = await rigOn(t, stateFor(t))
  rig.trades(1, 5000)
  await rig.settled()
  const client = await clientFor(t, rig)
  let next = 5001
  const from = { epoch: rig.epoch, seq: 1 }
  client.send({ op: 'subscribe', channel: 'trades', from })
  const isDone = () => client.controls.some(({ op }) => op === 'replay_completed')
  while (!isDone() || next < 20_000) {
    if (rig.trades(next, 50)) next += 50
    await new Promise((resolve) => setImmediate(resolve))
  }
  const ack = await client.op('ack')
  await client.until(() => client.recordCount(ack.stream as number) >= next - 1, 'all records')
  t.same(client.frames.flatMap(valuesOf), range(1, next - 1))
})

t.test('what is asked for is filtered as it was when it was live', async (t) => {
  const rig = await rigOn(t, stateFor(t))
  const [btc = 0, eth = 0] = rig.ids
  rig.publish(
    range(1, 300).map((value) => ({
      instrument: value % 3 === 0 ? eth : btc,
      kind: value % 2 === 0 ? KIND.quote : KIND.trade,
      value,
    })),
  )
  await rig.settled()
  const client = await clientFor(t, rig)
  const from = { epoch: rig.epoch, seq: 11 }
  const symbols = ['ETH-*']
  const ack = await client.ask({ op: 'subscribe', channel: 'trades', symbols, from })
  await client.op('replay_completed')
  const wanted = range(1, 300).filter((value) => value % 3 === 0 && value % 2 === 1)
  t.same(client.frames.flatMap(valuesOf), wanted.slice(10))
  t.equal(ack.next_seq, 11)
})

t.test('a time is found, and the first frame is announced', async (t) => {
  const rig = await rigOn(t, stateFor(t))
  rig.trades(1, 500)
  await rig.settled()
  const client = await clientFor(t, rig)
  // A rig's record number n was received n seconds after 1970.
  const from = { ts: '1970-01-01T00:03:20.5Z' }
  const ack = await client.ask({ op: 'subscribe', channel: 'trades', from })
  t.equal(ack.next_seq, null)
  t.match(await client.op('epoch'), { epoch: rig.epoch, next_seq: 201 })
  await client.op('replay_completed')
  t.same(client.frames.flatMap(valuesOf), range(201, 300))
})

t.test('after a crash a client is told what was un-said, exactly, and goes on', async (t) => {
  const state = stateFor(t)
  const first = await rigOn(t, state)
  const seen = await clientFor(t, first)
  const stream = await seen.subscribe({ channel: 'trades' })
  first.trades(1, 200)
  await first.settled()
  first.isDiskPaused = true
  first.trades(201, 30)
  await seen.until(() => seen.recordCount(stream) === 230, 'all, the durable and the others')
  await first.kill()
  const second = await rigOn(t, state)
  second.trades(1001, 50)
  await second.settled()
  const client = await clientFor(t, second)
  const from = { epoch: first.epoch, seq: 231 }
  await client.ask({ op: 'subscribe', channel: 'trades', from })
  const done = await client.op('replay_completed')
  const gap = { epoch: first.epoch, from: 201, to: 230, cause: 'restart' }
  t.match(await client.op('gap'), { ...gap, next_epoch: second.epoch })
  t.match(await client.op('epoch'), { epoch: second.epoch, next_seq: 1 })
  t.match(done, { epoch: second.epoch, next_seq: 51, count: 50 })
  t.same(client.frames.flatMap(valuesOf), range(1001, 50))
  t.ok(client.frames.every(({ epoch }) => epoch === second.epoch))

  const early = await clientFor(t, second)
  await early.ask({ op: 'subscribe', channel: 'trades', from: { epoch: first.epoch, seq: 101 } })
  t.match(await early.op('replay_completed'), { count: 150 })
  t.same(early.frames.flatMap(valuesOf), [...range(101, 100), ...range(1001, 50)])
  t.notOk(
    early.controls.some(({ op }) => op === 'gap'),
    'nothing that it had seen was un-said',
  )
})

t.test('an epoch of which nothing became durable is un-said as a whole', async (t) => {
  const state = stateFor(t)
  const first = await rigOn(t, state)
  first.isDiskPaused = true
  first.trades(1, 10)
  await first.kill()
  const second = await rigOn(t, state)
  const client = await clientFor(t, second)
  const from = { epoch: first.epoch, seq: 11 }
  await client.ask({ op: 'subscribe', channel: 'trades', from })
  await client.op('replay_completed')
  t.match(await client.op('gap'), { epoch: first.epoch, from: 1, to: 10, cause: 'restart' })
  second.trades(5, 1)
  await client.until(() => client.frames.length > 0, 'the live record')
  t.match(client.frames[0], { epoch: second.epoch, firstSeq: 1 })
})

t.test('a declared gap is filled on the same connection, beside what is live', async (t) => {
  const rig = await rigOn(t, stateFor(t), { settings: { frame_ticks: 64 } })
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades' })
  rig.trades(1, 500)
  await rig.settled()
  const ack = await client.ask({ op: 'fill', stream, from: 101, to: 300 })
  t.match(ack, { op: 'ack', stream, epoch: rig.epoch, from: 101, to: 300 })
  rig.trades(501, 100)
  const done = await client.op('replay_completed')
  t.match(done, { id: ack.id, stream, from: 101, to: 300, count: 200 })
  await client.until(() => client.recordCount(stream) === 800, 'all records')
  const again = client.frames.filter(({ firstSeq }, i) => {
    return client.frames.slice(0, i).some((before) => before.firstSeq >= firstSeq)
  })
  t.same(again.flatMap(valuesOf), range(101, 200))
})

t.test('what the ring lost has sequences, is declared, and can be filled', async (t) => {
  const rig = await rigOn(t, stateFor(t), { ringTicks: 1024 })
  const client = await clientFor(t, rig)
  const stream = await client.subscribe({ channel: 'trades' })
  rig.trades(1, 100)
  await client.until(() => client.recordCount(stream) === 100, 'the first')
  rig.serve.isPaused = true
  for (let value = 101; value <= 4000; value += 100) {
    rig.trades(value, 100)
    await rig.settled()
  }
  rig.serve.isPaused = false
  const gap = await client.op('gap')
  t.match(gap, { stream, from: 101, cause: 'overrun' })
  const to = gap.to as number
  await client.until(() => client.recordCount(stream) === 4000 - (to - 100), 'the others')
  t.same(client.frames.flatMap(valuesOf), [...range(1, 100), ...range(to + 1, 4000 - to)])
  await client.ask({ op: 'fill', stream, from: 101, to })
  await client.op('replay_completed')
  t.equal(client.recordCount(stream), 4000)
})

t.test('an agent that is made anew in an epoch knows the sequences', async (t) => {
  const state = stateFor(t)
  const rig = await rigOn(t, state)
  rig.trades(1, 700)
  await rig.settled()
  const again = rig.again()
  t.teardown(() => again.close())
  again.start()
  const client = await FeedClient.open(again.feed, FB)
  t.teardown(() => client.close())
  await client.op('welcome')
  const stream = await client.subscribe({ channel: 'trades', from: { epoch: rig.epoch, seq: 690 } })
  rig.trades(701, 10)
  await client.until(() => client.recordCount(stream) === 21, 'all')
  t.same(client.frames.flatMap(valuesOf), range(690, 21))
})

t.test('what cannot be is refused by name', async (t) => {
  const rig = await rigOn(t, stateFor(t))
  rig.trades(1, 10)
  await rig.settled()
  const client = await clientFor(t, rig)
  const { epoch } = rig
  const refused = async (message: Record<string, unknown>, name: string) => {
    t.match(await client.ask(message), { op: 'error', name }, JSON.stringify(message))
  }
  const subscribe = { op: 'subscribe', channel: 'trades' }
  await refused({ ...subscribe, from: { epoch, seq: 12 } }, 'unknown_sequence')
  await refused({ ...subscribe, from: { epoch: epoch + 1, seq: 1 } }, 'unknown_sequence')
  await refused({ ...subscribe, from: { epoch, seq: 0 } }, 'bad_field')
  await refused({ ...subscribe, from: { ts: 'yesterday' } }, 'bad_field')
  await refused({ ...subscribe, from: { epoch, seq: 1, ts: 'x' } }, 'bad_field')
  await refused({ ...subscribe, shard: 1 }, 'bad_field')
  await refused({ op: 'subscribe', channel: 'latest', from: { epoch, seq: 1 } }, 'from_unavailable')
  await refused({ op: 'fill', stream: 99, from: 1, to: 2 }, 'unknown_stream')
  const stream = await client.subscribe({ channel: 'trades' })
  await refused({ op: 'fill', stream, from: 5, to: 4 }, 'bad_field')
  await refused({ op: 'fill', stream, from: 5, to: 11 }, 'unknown_sequence')
  const latest = await client.subscribe({ channel: 'latest' })
  await refused({ op: 'fill', stream: latest, from: 1, to: 1 }, 'fill_unavailable')
})
