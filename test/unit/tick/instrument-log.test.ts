// The instrument log on a real disk: the same ids after a restart, a torn tail, damage.

import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { TickdError } from '../../../src/errors.ts'
import { InstrumentLog } from '../../../src/tick/instrument-log.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'

const CAPACITY = 64

function createRig(t: Test) {
  const directory = mkdtempSync(path.join(tmpdir(), 'tickd-instruments-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = path.join(directory, 'instruments.jsonl')
  /** Loads what is there and attaches, as a start of the daemon does. */
  const open = () => {
    const memory = InstrumentTable.create(CAPACITY)
    const log = new InstrumentLog(file)
    t.teardown(() => log.close())
    log.load(memory, CAPACITY)
    return { log, table: new InstrumentTable(memory, CAPACITY, log.append) }
  }
  return { directory, file, open }
}

t.test('a restart gives the same ids to the same names, aliases too', async (t) => {
  const { file, open } = createRig(t)
  const first = open()
  t.notOk(existsSync(file), 'nothing is written before there is something')
  first.table.add('v', 'BTC-USDT', 'BTCUSDT')
  first.table.add('w', 'a "name"\nin two lines')
  first.table.add('v', 'ETH-USDT')
  first.table.add('v', 'ETH-USDT', 'ETHUSDT')
  const second = open()
  t.equal(second.table.count, 3)
  for (let id = 1; id <= 2; id++) t.same(second.table.get(id), first.table.get(id))
  t.equal(second.table.idOf('v', 'ETHUSDT'), 3)
  t.equal(second.table.add('v', 'new'), 4)
  t.equal(open().table.idOf('v', 'new'), 4)
})

t.test('every cut of the last line is a torn tail: cut off, and its id given anew', async (t) => {
  const { file, open } = createRig(t)
  const first = open()
  first.table.add('v', 'A')
  const one = readFileSync(file).length
  first.table.add('v', 'ü')
  const whole = readFileSync(file)
  for (let size = one; size < whole.length; size++) {
    writeFileSync(file, whole)
    truncateSync(file, size)
    const { table } = open()
    if (table.count !== 1) t.fail(`${size} bytes: ${table.count} instruments`)
    if (readFileSync(file).length !== one) t.fail(`${size} bytes: the tail is still there`)
    if (table.add('v', 'B') !== 2) t.fail(`${size} bytes: the id was not given again`)
  }
  t.equal(open().table.get(2)?.symbol, 'B')
})

t.test('a tool that reads beside the daemon leaves a torn tail alone', async (t) => {
  const { file, open } = createRig(t)
  open().table.add('v', 'A')
  appendFileSync(file, '{"id":2,')
  const size = readFileSync(file).length
  const memory = InstrumentTable.create(CAPACITY)
  new InstrumentLog(file).load(memory, CAPACITY, 'ignore')
  t.equal(new InstrumentTable(memory, CAPACITY).count, 1)
  t.equal(readFileSync(file).length, size)
})

t.test('any other damage is refused, with the line and what to do', async (t) => {
  const { file, open } = createRig(t)
  const first = open()
  for (const name of ['A', 'B', 'C']) first.table.add('v', name)
  const lines = readFileSync(file, 'utf8').split('\n')
  const line = (text: string) => [lines[0], text, lines[2], ''].join('\n')
  const damaged = [
    line('{"id":2,"venue":"v"'),
    line('not JSON'),
    line(''),
    line('{"id":3,"venue":"v","symbol":"B","venue_symbol":"B"}'),
    line('{"id":2,"venue":"v","symbol":"A","venue_symbol":"A"}'),
    line('{"id":2,"venue":"v","symbol":"B"}'),
    line('{"id":2,"venue":"v","symbol":7,"venue_symbol":"B"}'),
    line('null'),
  ]
  for (const text of damaged) {
    writeFileSync(file, text)
    t.throws(open, { code: 'STATE_DIR_UNUSABLE', message: /line 2 is damaged; restore/ }, text)
    t.equal(readFileSync(file, 'utf8'), text, 'left as it is')
  }
})

t.test('a line that the disk refuses adds no instrument', async (t) => {
  const { directory, open } = createRig(t)
  const { table } = open()
  rmSync(directory, { recursive: true })
  try {
    table.add('v', 'A')
    t.fail('it was added')
  } catch (error) {
    t.ok(error instanceof TickdError)
    t.match(error, { code: 'IO', canRetry: true, message: /v A cannot be recorded/ })
  }
  t.equal(table.count, 0)
})
