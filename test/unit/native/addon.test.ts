import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { type Addon, activeAddon, chooseAddon } from '../../../src/native/addon.ts'
import { BINANCE_CODE, CONTROL_WORDS, IN, KERNEL, OUT } from '../../../src/native/control.ts'
import { LAYOUT_ID } from '../../../src/native/layout-id.ts'
import { copyKernelOf } from '../../../src/storage/postgres/copy-kernel.ts'
import { jsCopyKernel } from '../../../src/storage/postgres/encode.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'
import { KIND, TICK_BYTES } from '../../../src/tick/layout.ts'
import { nativeAbsent } from '../../support/kernel-pair.ts'

const skip = nativeAbsent()
const INSTRUMENTS = 16
const TICKS = 8

t.test('js is js, whatever is built', async (t) => {
  t.match(chooseAddon('js'), { name: 'js', addon: undefined })
  t.equal(copyKernelOf(chooseAddon('js')), jsCopyKernel)
})

t.test('a choice that is none is an error', async (t) => {
  t.throws(() => chooseAddon('simd'), { code: 'CONFIG_INVALID', message: /auto, js, native/ })
})

t.test('what is not built is said, and an error where it was asked for', async (t) => {
  const path = join(t.testdir(), 'tickd.node')
  t.match(chooseAddon('auto', path), { name: 'js', why: /not built/ })
  t.match(chooseAddon('', path), { name: 'js' })
  t.throws(() => chooseAddon('native', path), {
    code: 'CONFIG_INVALID',
    message: /TICKD_KERNELS=native.*not built.*build-native/,
  })
})

t.test('what does not load is said, and an error where it was asked for', async (t) => {
  const path = join(t.testdir(), 'tickd.node')
  writeFileSync(path, 'no shared object')
  t.match(chooseAddon('auto', path), { name: 'js', why: /do not load/ })
  t.throws(() => chooseAddon('native', path), { code: 'CONFIG_INVALID', message: /do not load/ })
})

t.test('another program’s layout is not loaded', async (t) => {
  const path = join(t.testdir(), 'tickd.cjs')
  writeFileSync(path, `module.exports = { layoutId: ${LAYOUT_ID + 1} }`)
  t.match(chooseAddon('auto', path), { name: 'js', why: /other sources/ })
  t.throws(() => chooseAddon('native', path), { code: 'CONFIG_INVALID' })
})

t.test('the environment’s choice is the active one, once', async (t) => {
  t.match(activeAddon(), { name: chooseAddon(process.env.TICKD_KERNELS ?? 'auto').name })
  t.equal(activeAddon(), activeAddon())
})

t.test('the addon was built from this program’s layout', { skip }, async (t) => {
  t.equal(addonOf().layoutId, LAYOUT_ID)
})

t.test('every thread loads it for itself, and may end', { skip }, async (t) => {
  const code = `
    const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(new URL('../../../src/native/addon.ts', import.meta.url).href)})
      .then(({ chooseAddon }) => parentPort.postMessage(chooseAddon('native').name))`
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(code, { eval: true })
    const names: string[] = []
    worker.on('message', (name) => names.push(name))
    const exit = await new Promise((done) => worker.once('exit', done))
    t.same([exit, names], [0, ['native']])
  }
  t.equal(addonOf().layoutId, LAYOUT_ID, 'and the others have it still')
})

function addonOf(): Addon {
  const { addon } = chooseAddon('native')
  if (addon === undefined) throw new Error('no addon')
  return addon
}

/** A session that has been bound to a frame in the middle of its input. */
function session(kernel: number, frame: string | Uint8Array) {
  const instruments = new InstrumentTable(InstrumentTable.create(INSTRUMENTS), INSTRUMENTS)
  instruments.add('v', 'BTC-USDT', 'BTCUSDT')
  const control = new Float64Array(CONTROL_WORDS)
  const table = new Uint8Array(instruments.memory)
  const venue = new TextEncoder().encode('v\0')
  const made = addonOf().decoder(kernel, control, table, INSTRUMENTS, venue)
  const bytes = Buffer.from(frame)
  const ticks = new Uint8Array(TICKS * TICK_BYTES)
  const origins = new Int32Array(2 * TICKS)
  made.bind(bytes, ticks, origins)
  control[IN.end] = bytes.length
  control[IN.capacity] = TICKS
  return { ...made, bytes, ticks, origins, control }
}

const BASE = { E: 1723161256322, s: 'BTCUSDT', T: 1723161256321 }
const COMMON: [name: string, frame: object, code: number][] = [
  ['a trade', { e: 'trade', ...BASE, t: 1, p: '1.5', q: '2', m: true }, BINANCE_CODE.trade],
  ['an aggregate trade', { e: 'aggTrade', ...BASE, a: 1, p: '1', q: '2', m: true }, 1],
  ['a quote', { u: 1, s: 'BTCUSDT', b: '1', B: '2', a: '3', A: '4' }, BINANCE_CODE.quote],
  [
    'a depth update',
    { e: 'depthUpdate', ...BASE, U: 1, u: 2, b: [['1', '2']], a: [['3', '0']] },
    BINANCE_CODE.depth,
  ],
  [
    'a combined frame',
    { stream: 'x', data: { e: 'trade', ...BASE, t: 1, p: '1', q: '2', m: false } },
    BINANCE_CODE.trade,
  ],
]
t.test('what is common is not left to the JS decoder', { skip }, async (t) => {
  for (const [name, frame, code] of COMMON) {
    const { run, control } = session(KERNEL.binance, JSON.stringify(frame))
    run()
    t.equal(control[OUT.code], code, name)
  }
  const record = { type: 'trade', venue: 'v', symbol: 'BTC-USDT', ts_event: '2024-08-08T00:00:00Z' }
  const lines = [
    { ...record, price: '1', size: 2, id: '7', side: 'buy', flags: ['last'] },
    { ...record, type: 'quote', bid_price: '1' },
    { ...record, type: 'book', side: 'sell', action: 'delete', price: '1' },
    { ...record, type: 'price', market: 'real-time', interval_minutes: 5, price: '-1.5' },
    { ...record, type: 'status', status: 'gap', from: 1, to: 2 },
  ]
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  const { run, control } = session(KERNEL.ndjson, text)
  run()
  t.equal(control[OUT.isLeft], 0)
  t.equal(control[OUT.count], lines.length)
  t.equal(control[OUT.decoded + KIND.book], 1)
})

t.test('a kernel stops at what it leaves, and goes on behind it', { skip }, async (t) => {
  const good = '{"type":"quote","venue":"v","symbol":"BTC-USDT","bid_price":1'
  const line = `${good},"ts_event":"2024-08-08T00:00:00Z"}\n`
  const { run, control, origins } = session(KERNEL.ndjson, `${line}{"escaped":"\\n"}\n${line}`)
  run()
  t.match([...control.slice(OUT.count, OUT.leftEnd + 1)], [1, line.length, 1, line.length + 16])
  control[IN.start] = (control[OUT.leftEnd] as number) + 1
  control[IN.count] = 1
  run()
  t.equal(control[OUT.isLeft], 0)
  t.same([...origins.slice(0, 4)], [0, line.length - 1, line.length + 17, 2 * line.length + 16])
})

t.test('what lies outside of the bound memory is not touched', { skip }, async (t) => {
  const trade = JSON.stringify({ e: 'trade', ...BASE, t: 1, p: '1.5', q: '2', m: true })
  const wrong: [word: number, value: number][] = [
    [IN.end, trade.length + 1],
    [IN.end, -1],
    [IN.end, Number.NaN],
    [IN.start, trade.length + 1],
    [IN.start, -1],
    [IN.count, TICKS + 1],
    [IN.count, TICKS],
    [IN.count, Number.POSITIVE_INFINITY],
    [IN.capacity, 0],
    [IN.capacity, Number.NaN],
  ]
  for (const [word, value] of wrong) {
    const { run, control, ticks } = session(KERNEL.binance, trade)
    control[word] = value
    run()
    t.equal(control[OUT.code], BINANCE_CODE.left, `word ${word}: ${value}`)
    t.ok(ticks.every((byte) => byte === 0))
  }
  const { run, control } = session(KERNEL.binance, trade)
  control[IN.capacity] = 1e9
  control[IN.count] = TICKS - 1
  run()
  t.equal(control[OUT.code], BINANCE_CODE.trade, 'a capacity beyond the memory is the memory’s')
  control[IN.count] = TICKS
  run()
  t.equal(control[OUT.code], BINANCE_CODE.left)
})

t.test('arguments of the wrong kind are refused', { skip }, async (t) => {
  const addon = addonOf() as unknown as Record<string, (...args: unknown[]) => unknown>
  const memory = new Uint8Array(InstrumentTable.create(INSTRUMENTS))
  const control = new Float64Array(CONTROL_WORDS)
  const name = new Uint8Array(1)
  const good = [KERNEL.packed, control, memory, INSTRUMENTS, name]
  t.ok(addon.decoder?.(...good))
  const wrong: [index: number, value: unknown][] = [
    ...([
      [0, -1],
      [0, 4],
      [0, 'x'],
      [1, new Float64Array(3)],
      [1, name],
    ] as const),
    ...([
      [2, name],
      [2, undefined],
      [3, INSTRUMENTS - 1],
      [3, 2 * INSTRUMENTS],
      [4, ''],
    ] as const),
    [4, new Uint8Array(0)],
  ] as [number, unknown][]
  for (const [index, value] of wrong) {
    t.throws(() => addon.decoder?.(...good.with(index, value as never)), TypeError)
  }
  t.throws(() => addon.decoder?.(), TypeError)
  const { bind } = session(KERNEL.packed, 'x')
  t.throws(
    () => bind(new Uint8Array(1), new Uint8Array(64), [] as unknown as Int32Array),
    TypeError,
  )
  t.throws(() => (bind as () => void)(), TypeError)
})

t.test('rows outside of batch, order or buffer are refused', { skip }, async (t) => {
  const { encodeCopy } = addonOf()
  const ticks = new Uint8Array(2 * TICK_BYTES)
  const order = Int32Array.from([0, 1, 2, -1])
  const out = new DataView(new ArrayBuffer(400))
  const encode = (from: number, to: number, offset = 0, seq = 0) =>
    encodeCopy(KIND.trade, ticks, order, from, to, 0, seq, out, offset)
  t.equal(encode(0, 0, 400), 400, 'nothing fits everywhere')
  t.ok(encode(0, 2) > 0)
  t.throws(() => encode(2, 3), TypeError, 'a tick behind the batch')
  t.throws(() => encode(3, 4), TypeError, 'a tick before it')
  t.throws(() => encode(0, 5), TypeError, 'a row behind the order')
  t.throws(() => encode(1, 0), TypeError)
  t.throws(() => encode(0, 2, 399), TypeError, 'no room')
  t.throws(() => encode(0, 2, 401), TypeError)
  t.throws(() => encode(0, 1, 0, 2 ** 48), TypeError, 'no sequence')
  t.throws(() => encodeCopy(KIND.trade, ticks, order, 0, 1, 0, 0, ticks as never, 0), TypeError)
})

t.test('a session outlives its frames, and is let go', { skip }, async (t) => {
  const trade = JSON.stringify({ e: 'trade', ...BASE, t: 1, p: '1.5', q: '2', m: true })
  for (let i = 0; i < 200; i++) {
    const { run, bind, control, ticks, origins } = session(KERNEL.binance, trade)
    for (let round = 0; round < 3; round++) {
      bind(new Uint8Array(Buffer.from(trade)), ticks, origins)
      run()
      t.equal(control[OUT.code], BINANCE_CODE.trade)
    }
  }
})
