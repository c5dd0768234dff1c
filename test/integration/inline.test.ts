import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { InlinePipeline } from '../support/inline-pipeline.ts'

const SYNTHETIC = {
  sources: [{ name: 'synthetic', type: 'synthetic', rate: 1000, seed: 7 }],
}

t.test('all agents run on one thread, and time is what the test says it is', async (t) => {
  const pipeline = await InlinePipeline.start(SYNTHETIC)
  t.teardown(() => pipeline.removeState())
  await pipeline.advance(3000)
  await pipeline.stop()
  const lines = pipeline.journalLines()
  t.ok(Math.abs(lines.length - 3000) <= 10, `3 s at 1000 ticks/s are ${lines.length} ticks`)
  const decode = pipeline.shared.counters('decode', 'synthetic')
  t.equal(decode.get('records_accepted'), lines.length, 'what was accepted is in the journal')
  t.equal(decode.get('records'), lines.length, 'nothing was refused')
  t.equal(pipeline.shared.counters('aggregate').get('records'), lines.length)
  t.equal(pipeline.shared.counters('serve').get('records'), lines.length)
})

t.test('the same seed and the same clock give the same journal', async (t) => {
  const journals: string[][] = []
  for (let run = 0; run < 2; run++) {
    const pipeline = await InlinePipeline.start(SYNTHETIC)
    await pipeline.advance(1000)
    await pipeline.stop()
    journals.push(pipeline.journalLines())
    pipeline.removeState()
  }
  t.ok((journals[0]?.length ?? 0) > 900)
  t.same(journals[0], journals[1])
})

t.test('a second run goes on where the first one stopped', async (t) => {
  const first = await InlinePipeline.start(SYNTHETIC)
  t.teardown(() => first.removeState())
  await first.advance(500)
  await first.stop()
  const before = first.journalLines()
  const second = await InlinePipeline.start(SYNTHETIC, first.stateDir)
  t.equal(second.shared.instruments.count, first.shared.instruments.count, 'the same instruments')
  t.same(second.journalLines(), before, 'all is there')
  await second.advance(500)
  await second.stop()
  const seqs = second.journalLines().map((line) => Number(JSON.parse(line).seq))
  t.ok(seqs.length > before.length)
  t.same(
    seqs,
    seqs.map((_, index) => index),
  )
  const [{ epoch = 0 } = {}] = second.shared.memory.shards
  t.equal(epoch, 2, 'each start is an epoch')
})

t.test('a replayed capture balances to the last line', async (t) => {
  const first = await InlinePipeline.start({ sources: [{ name: 'http', type: 'http' }] })
  await first.stop()
  t.teardown(() => first.removeState())
  const path = join(first.stateDir, 'frames.jsonl')
  const trade = (id: number) =>
    `{"type":"trade","venue":"v","symbol":"A-B","ts_event":"2024-05-06T07:08:09.000000001Z",` +
    `"id":"${id}","side":"sell","price":"${id}.5","size":"2"}`
  const lines = [trade(1), trade(2), trade(2), '{"type":"trade"', '', trade(3)]
  writeFileSync(path, `${lines.join('\n')}\n`)
  const replay = { name: 'replay', type: 'replay', venue: 'ndjson', format: 'raw', paths: [path] }
  const pipeline = await InlinePipeline.start({ sources: [replay] }, first.stateDir)
  const counters = pipeline.shared.counters('decode', 'replay')
  // The file is read asynchronously, in real time.
  const deadline = Date.now() + 10_000
  const messages = lines.filter((line) => line !== '').length
  while (counters.get('messages') < messages && Date.now() < deadline) {
    await pipeline.advance(10)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await pipeline.advance(50)
  await pipeline.stop()
  t.match(counters.toJSON(), {
    messages_decoded: 4,
    rejected_bad_json: 1,
    records: 4,
    records_accepted: 3,
    records_duplicate: 1,
  })
  t.same(
    pipeline.journalLines().map((line) => JSON.parse(line).price),
    ['1.5', '2.5', '3.5'],
  )
})
