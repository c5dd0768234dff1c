import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { segmentPath, shardDirectory } from '../../../src/journal/segment-files.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { writeInteger, writeSplit } from '../../../src/tick/fixed-point.ts'
import { KIND, SIDE, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'
import { emptyShard, TestWriter } from './journal-fixture.ts'

const RUN = fileURLToPath(new URL('journal-command.ts', import.meta.url))

function tickd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const flags = ['--disable-warning=ExperimentalWarning', RUN]
  return spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8' })
}

/** A state directory with one shard of 30 trades, in two epochs, of one known instrument. */
function stateWithTrades(t: Parameters<typeof emptyShard>[0]): string {
  const directory = emptyShard(t)
  const state = dirname(dirname(directory))
  const name = { id: 1, venue: 'test', symbol: 'BTC-USD', venue_symbol: 'BTCUSD' }
  writeFileSync(join(state, 'instruments.jsonl'), `${JSON.stringify(name)}\n{"id":2,"ven`)
  const batch = new TickBatch(15)
  for (const epoch of [1, 2]) {
    const nextSeq = (epoch - 1) * 15
    for (let i = 0; i < 15; i++) putTrade(batch, i, nextSeq + i)
    const { writer } = new TestWriter({ directory, epoch, nextSeq })
    writer.append(batch.bytes, 0, 15)
    writer.close()
  }
  return state
}

function putTrade(batch: TickBatch, index: number, seq: number): void {
  batch.clear(index)
  batch.setInstrument(index, 1)
  batch.setKindSide(index, KIND.trade, SIDE.buy)
  const at = index * TICK_WORDS
  writeSplit(batch.words, at + WORD.ts_event, false, 1_700_000_000, seq)
  writeSplit(batch.words, at + WORD.ts_recv, false, 1_700_000_000, seq)
  writeInteger(batch.words, at + WORD.p2, seq)
}

t.test('stat describes the journal, whichever of its directories is named', async (t) => {
  const state = stateWithTrades(t)
  for (const dir of [state, join(state, 'journal'), shardDirectory(state, 0)]) {
    const { status, stdout } = tickd('stat', dir, '--json')
    t.equal(status, 0)
    t.match(JSON.parse(stdout), {
      shards: [
        {
          shard: 0,
          segments: 2,
          bytes: 2 * 64 * (1 + 16 + 1),
          records: 30,
          first_seq: 0,
          last_seq: 29,
          sealed: true,
          created: /^20\d\d-.*Z$/,
          epochs: [
            { epoch: 1, first_seq: 0, next_seq: 15 },
            { epoch: 2, first_seq: 15, next_seq: 30 },
          ],
        },
      ],
    })
  }
  const { stdout } = tickd('stat', state)
  t.match(stdout, /^records +30$/m)
  t.match(stdout, /^epoch +2: 15 … 29$/m)
})

t.test('dump prints the records asked for and leaves the state as it is', async (t) => {
  const state = stateWithTrades(t)
  const { status, stdout } = tickd('dump', state, '--from', '13', '--limit', '4')
  t.equal(status, 0)
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(
    lines.map(({ seq, symbol, id }) => ({ seq, symbol, id })),
    [13, 14, 15, 16].map((seq) => ({ seq, symbol: 'BTC-USD', id: String(seq) })),
  )
  t.equal(tickd('dump', state).stdout.trimEnd().split('\n').length, 30)
  t.match(readFileSync(join(state, 'instruments.jsonl'), 'utf8'), /"ven$/, 'no tail was cut')
})

t.test(
  'verify is silent about nothing: exit code 1, the file, the offset, the records',
  async (t) => {
    const state = stateWithTrades(t)
    const whole = tickd('verify', state, '--json')
    t.equal(whole.status, 0)
    t.match(JSON.parse(whole.stdout), { ok: true, shards: [{ records: 30, faults: [] }] })

    const path = segmentPath(shardDirectory(state, 0), 15)
    const file = readFileSync(path)
    file[500] = (file[500] as number) ^ 1
    writeFileSync(path, file)
    const damaged = tickd('verify', state, '--json')
    t.equal(damaged.status, 1)
    t.match(JSON.parse(damaged.stdout), {
      ok: false,
      shards: [{ faults: [{ file: path, offset: 64, bytes: 64 * 16, from: 15, to: 30 }] }],
    })
    const text = tickd('verify', state)
    t.equal(text.status, 1)
    t.match(
      text.stdout,
      `${path}: offset 64, 1024 bytes, records 15 … 29 (written 2023-11-14T22:13:20`,
    )
    t.match(text.stdout, '15 perhaps not in PostgreSQL')
    const dumped = tickd('dump', state)
    t.equal(dumped.status, 1)
    t.equal(dumped.stdout.trimEnd().split('\n').length, 15, 'what is whole is printed')
    t.match(dumped.stderr, 'JOURNAL_CORRUPT')
  },
)

t.test('wrong usage is exit code 2 with a hint', async (t) => {
  const state = stateWithTrades(t)
  const cases: [args: string[], hint: string][] = [
    [['stat', join(state, 'nowhere')], 'is no journal'],
    [['dump', state, '--shard', '7'], 'has no shard 7, only 0'],
    [['dump', state, '--from', '31'], "beyond the journal's end, 30"],
    [['dump', state, '--limit', '-1'], 'not a whole number'],
    [['verify'], 'missing required argument'],
  ]
  for (const [args, hint] of cases) {
    const { status, stderr } = tickd(...args)
    t.equal(status, 2, args.join(' '))
    t.match(stderr, hint)
  }
})
