// The quick way of Binance frames: which it takes, and that it makes no difference.
//
// Each form of a trade and of a quote is spoiled at every byte, cut at every byte, and given what
// the venues never sent. Every frame goes to both decoders as it is, and with a blank before it,
// which makes the quick ways give up: the same records, counts and reasons.

import t from 'tap'
import { BinanceQuick } from '../../../src/decode/binance-quick.ts'
import { chooseKernels, jsKernels } from '../../../src/decode/kernels.ts'
import { SymbolCache } from '../../../src/decode/symbol-cache.ts'
import { TickBatch } from '../../../src/tick/batch.ts'
import { KIND, TICK_BYTES } from '../../../src/tick/layout.ts'
import { DecodeRig, type RigOptions } from '../../support/decode-rig.ts'
import { nativeAbsent } from '../../support/kernel-pair.ts'

const TRADE =
  '{"e":"trade","E":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30000000",' +
  '"q":"0.00600000","T":1723161256321,"m":false,"M":true}'
const US_TRADE =
  '{"e":"trade","E":1723161256322,"s":"BTCUSDT","t":12345678,"p":"1.5","q":"100.006",' +
  '"b":88,"a":506183391,"T":1723161256321,"m":true,"M":false}'
const FUTURES_TRADE =
  '{"e":"trade","E":1723161256322,"T":1723161256320,"s":"BTCUSDT","t":7,"p":"61800.30",' +
  '"q":"0.006","X":"MARKET","m":false}'
const AGGREGATE =
  '{"e":"aggTrade","E":1723161256322,"s":"BTCUSDT","a":123456789012345,"p":"6180000.3",' +
  '"q":"9999999.99999999","f":1,"l":19862790,"T":1723161256321,"m":true,"M":true}'
const FUTURES_AGGREGATE =
  '{"e":"aggTrade","E":1723161256322,"a":1234,"s":"BTCUSDT","p":"0.00000001","q":"0.1",' +
  '"f":12345678901,"l":2,"T":1723161256321,"m":true}'
const LEVELS = '"b":"61800.30000000","B":"0.00600000","a":"61800.31000000","A":"12.50000000"'
const QUOTE = `{"u":5266583935,"s":"BTCUSDT",${LEVELS}}`
const TIMES = '"T":1723161256321,"E":1723161256322'
const FUTURES_QUOTE = `{"e":"bookTicker","u":7,"s":"BTCUSDT",${LEVELS},${TIMES}}`
const EARLY_QUOTE =
  '{"e":"bookTicker","u":123456789012345,"E":1723161256322,"T":1723161256321,' +
  `"s":"BTCUSDT",${LEVELS}}`
const combined = (payload: string) => `{"stream":"btcusdt@trade","data":${payload}}`
const TRADES = [TRADE, US_TRADE, FUTURES_TRADE, AGGREGATE, FUTURES_AGGREGATE]
const QUOTES = [QUOTE, FUTURES_QUOTE, EARLY_QUOTE]
const FRAMES = [
  ...TRADES,
  ...QUOTES,
  ...[TRADE, FUTURES_AGGREGATE, QUOTE, FUTURES_QUOTE].map((payload) => combined(payload)),
]

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
t.comment(`TICKD_SEED=${seed}`)

/** Behind what a decoder is said to look at, and more. */
const ROOM = 1024
const META = { source: 3, format: 0, flags: 0, token: 0, recvSec: 1_723_161_255, recvNsec: 7 }

/** As what kind it takes the text, which begins at offset 5 of memory with so much behind it. */
function kindOf(text: string, room = ROOM): number {
  const size = Buffer.byteLength(text)
  const bytes = new Uint8Array(5 + Math.max(size, room)).fill(0x39)
  bytes.set(Buffer.from(text), 5)
  const symbols = new SymbolCache()
  for (const symbol of ['"BTCUSDT"', '"1000SATSUSDT"', '"ÄÖÜUSDT"']) {
    const memory = Buffer.concat([Buffer.from(symbol), Buffer.from(',"t":12,"p":"1"'.repeat(3))])
    const view = new DataView(memory.buffer, memory.byteOffset, memory.length)
    symbols.remember(view, 0, Buffer.byteLength(symbol), 1)
  }
  return new BinanceQuick(symbols).read(bytes, 5, 5 + size, META, new TickBatch(1))
}

/** Does it take the text? */
function takes(text: string, room = ROOM): boolean {
  return kindOf(text, room) >= 0
}

/** The text with one part in place of another, which is there. */
function changed(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`${from} is not in ${text}`)
  return text.replace(from, to)
}

t.test('it takes the forms that the venues send', async (t) => {
  for (const frame of TRADES) t.equal(kindOf(frame), KIND.trade, frame)
  for (const frame of QUOTES) t.equal(kindOf(frame), KIND.quote, frame)
  for (const frame of FRAMES) t.ok(takes(frame), frame)
  for (const [from, to] of [
    ['BTCUSDT', '1000SATSUSDT'],
    ['BTCUSDT', 'ÄÖÜUSDT'],
    ['5266583935', '0'],
    ['5266583935', '123456789012345'],
    ['61800.30000000', '0.1'],
    ['61800.30000000', '00.10'],
    ['1723161256322', '1823161256322'],
    ['false', 'true'],
    [',"M":true', ''],
  ] as const) {
    t.ok(takes(changed(TRADE, from, to)), to)
  }
  for (const [from, to] of [
    ['BTCUSDT', '1000SATSUSDT'],
    ['5266583935', '0'],
    ['61800.30000000', '0.1'],
    ['12.50000000', '9999999.99999999'],
  ] as const) {
    t.equal(kindOf(changed(QUOTE, from, to)), KIND.quote, to)
  }
})

/** From which part of TRADE to what: it gives up, whatever the full decoder says. */
const NEAR_MISSES: [from: string, to: string][] = [
  ['BTCUSDT', 'XRPUSDT'],
  ['BTCUSDT', 'BTCUSD'],
  ['BTCUSDT', 'BTCUSDTX'],
  ['BTCUSDT', 'BTC\\u0055SDT'],
  ['"e":"trade","E":1723161256322', '"E":1723161256322,"e":"trade"'],
  ['"trade"', '"tradE"'],
  ['"trade"', '"aggTrade"'],
  ['"trade"', '"trade" '],
  ['{"e"', '{ "e"'],
  ['"p":', '"p": '],
  [',"q"', ' ,"q"'],
  ['"t":5266583935', '"t":5266583935,"t":5266583935'],
  ['"T":1723161256321', '"T":1723161256321,"T":1723161256321'],
  ['"T":1723161256321,', ''],
  ['"M":true', '"M":true,"x":1'],
  ['"M":true', '"M":true,"M":true'],
  ['"M":true', '"M":tru'],
  ['"M":true', '"M":null'],
  ['"m":false', '"m":falsE'],
  ['"m":false', '"m":frue'],
  ['"m":false', '"m":talse'],
  ['"m":false', '"m":"false"'],
  ['5266583935', '05'],
  ['5266583935', '0526658393'],
  ['5266583935', '-5'],
  ['5266583935', '5.0'],
  ['5266583935', '5e0'],
  ['5266583935', '1234567890123456'],
  ['5266583935', '"5"'],
  ['5266583935', ''],
  ['61800.30000000', '61800'],
  ['61800.30000000', '.30000000'],
  ['61800.30000000', '61800.'],
  ['61800.30000000', '-61800.3'],
  ['61800.30000000', '61800.300000000'],
  ['61800.30000000', '12345678.3'],
  ['61800.30000000', '9007199.25474100'],
  ['61800.30000000', '61800.3e1'],
  ['"61800.30000000"', '61800.30000000'],
  ['1723161256321', '172316125632'],
  ['1723161256321', '0723161256321'],
  ['1723161256321', '17231612563210'],
  ['1723161256321', '1723161256321000'],
  ['1723161256321', '9223372036855'],
  ['1723161256321', '1723161256321.0'],
  ['1723161256321', '\0\0\0\0\0\0\0\x0056321'],
  ['"M":true}', '"M":true}}'],
  ['"M":true}', '"M":true} '],
  ['"M":true}', '"M":true'],
]

/** As NEAR_MISSES, of FUTURES_QUOTE. */
const NEAR_QUOTES: [from: string, to: string][] = [
  ['BTCUSDT', 'XRPUSDT'],
  ['"bookTicker"', '"bookTickeR"'],
  ['"bookTicker"', '"bonkTicker"'],
  ['"bookTicker"', '"bookTicker" '],
  ['"e":"bookTicker",', ''],
  ['"e":"bookTicker","u":7', '"u":7,"e":"bookTicker"'],
  ['"u":7', '"u":07'],
  ['"u":7', '"u":-7'],
  ['"u":7', '"u":"7"'],
  ['"u":7', '"u":1234567890123456'],
  ['"u":7', '"u":7,"u":7'],
  ['"u":7', '"v":7'],
  ['"u":7,', ''],
  ['"b":', '"p":'],
  ['"B":', '"b":'],
  ['"a":', '"A":'],
  ['"A":', '"a":'],
  ['"b":', '"b": '],
  ['61800.30000000', '61800'],
  ['61800.31000000', '-61800.3'],
  ['0.00600000', '.006'],
  ['12.50000000', '12.500000000'],
  ['"12.50000000"', '12.5'],
  ['"12.50000000"', 'null'],
  [`,${TIMES}`, ''],
  ['"T":1723161256321,', ''],
  [',"E":1723161256322', ''],
  ['1723161256321', '1723161256321.0'],
  ['1723161256321', '9223372036855'],
  ['1723161256322', '1e3'],
  ['1723161256322', '01'],
  [TIMES, '"E":1723161256322,"T":1723161256321'],
  ['1723161256322}', '1723161256322}}'],
  ['1723161256322}', '1723161256322} '],
  ['1723161256322}', '1723161256322'],
]

t.test('it gives up where a frame is but nearly a plain one', async (t) => {
  for (const [from, to] of NEAR_MISSES) {
    t.notOk(takes(changed(TRADE, from, to)), `${from} -> ${to}`)
  }
  for (const [from, to] of NEAR_QUOTES) {
    t.notOk(takes(changed(FUTURES_QUOTE, from, to)), `${from} -> ${to}`)
  }
  t.notOk(takes(changed(QUOTE, '}', `,${TIMES}}`)))
  t.notOk(takes(changed(QUOTE, '"s"', '"E":1723161256322,"T":1723161256321,"s"')))
  t.notOk(takes(changed(EARLY_QUOTE, '}', `,${TIMES}}`)))
  t.notOk(takes(changed(EARLY_QUOTE, '"T":1723161256321,', '')))
  t.notOk(takes(changed(combined(TRADE), '}}', '}')))
  t.notOk(takes(changed(combined(TRADE), '@trade', '@\\u0074rade')))
  t.notOk(takes(changed(combined(TRADE), 'btcusdt@trade', 'x'.repeat(100))))
  t.notOk(takes(changed(combined(TRADE), '"data"', '"date"')))
  for (const frame of FRAMES) {
    for (let size = 0; size < frame.length; size++) {
      if (takes(frame.slice(0, size))) t.fail(frame.slice(0, size))
    }
  }
})

t.test('it leaves a frame near the end of memory', async (t) => {
  t.ok(takes(TRADE, ROOM))
  t.notOk(takes(TRADE, ROOM - 1))
  t.notOk(takes(TRADE, 0))
})

/** A frame by several decoders that are to agree. */
class Decoders {
  readonly #rigs: DecodeRig[]
  readonly #spaced: DecodeRig[]

  constructor() {
    const small = { instrumentsMax: 64, batchCapacity: 4 }
    const kernels = nativeAbsent() === false ? [jsKernels, chooseKernels('native')] : [jsKernels]
    const make = (options: RigOptions) => {
      const rig = new DecodeRig('binance', { ...small, ...options })
      rig.instruments.add('binance', 'BTC-USDT', 'BTCUSDT')
      return rig
    }
    const margins = [1024, 600, 16, 0]
    this.#rigs = kernels.flatMap((each) =>
      margins.map((marginBytes) => make({ kernels: each, marginBytes })),
    )
    this.#spaced = kernels.map((each) => make({ kernels: each }))
  }

  /** Do all make the same of it? */
  agree(frame: Uint8Array): boolean {
    for (const rig of this.#rigs) rig.sendRaw(frame)
    for (const rig of this.#spaced) rig.sendRaw(Buffer.concat([Buffer.from(' '), frame]))
    const all = [...this.#rigs, ...this.#spaced]
    const texts = all.map((rig) => {
      rig.rejects.length = 0
      const { batch, tally, counts } = rig
      const records = Buffer.from(batch.bytes.slice(0, batch.count * TICK_BYTES)).toString('hex')
      return JSON.stringify([records, counts, tally.gaps, tally.idsMissing, rig.instruments.count])
    })
    return texts.every((text) => text === texts[0])
  }
}

t.test('all decoders agree on the forms, and on what nearly is one', async (t) => {
  const decoders = new Decoders()
  const texts = FRAMES.flatMap((frame) => [frame, combined(frame), ` ${frame}`, `${frame}\n`])
  for (const [from, to] of NEAR_MISSES) {
    for (const frame of [TRADE, combined(TRADE)]) texts.push(changed(frame, from, to))
  }
  for (const [from, to] of NEAR_QUOTES) {
    const frames = [FUTURES_QUOTE, combined(FUTURES_QUOTE)]
    for (const frame of frames) texts.push(changed(frame, from, to))
  }
  for (const text of texts) t.ok(decoders.agree(Buffer.from(text)), JSON.stringify(text))
})

t.test('all decoders agree on times, prices, sizes and ids of every width', async (t) => {
  const decoders = new Decoders()
  let state = seed
  const below = (n: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return Math.floor(((state >>> 0) / 2 ** 32) * n)
  }
  const digits = (count: number) =>
    Array.from({ length: count }, () => (below(3) === 0 ? 9 * below(2) : below(10))).join('')
  const decimal = () => `${digits(1 + below(9))}${below(8) === 0 ? '' : `.${digits(1 + below(9))}`}`
  const times = [
    '1723161299999',
    '1723161300000',
    '1799999999999',
    '9223371999999',
    '9223372000000',
  ]
  times.push('9223372036854', '9223372036855', '999999999999', '1000000000000', '4294967295999')
  for (let i = 0; i < 3000; i++) {
    const time = times[below(2 * times.length)] ?? `17231612${digits(below(20) === 0 ? 8 : 5)}`
    const id = below(4) === 0 ? digits(1 + below(17)) : `${1 + below(9)}${digits(below(14))}`
    const start = `{"e":"trade","E":${time},"s":"BTCUSDT","t":${id},"p":"${decimal()}"`
    const frame = `${start},"q":"${decimal()}","T":${time},"m":${below(2) === 0},"M":true}`
    if (!decoders.agree(Buffer.from(frame))) t.fail(frame)
  }
})

t.test('all decoders agree on every form with one byte spoiled', async (t) => {
  const decoders = new Decoders()
  const others = [...Buffer.from('"\\{}[]:,.-+eE09tf \n\0\x7f'), 0xc3, 0xff]
  const wrong: string[] = []
  const check = (frame: Uint8Array) => {
    if (!decoders.agree(frame)) wrong.push(Buffer.from(frame).toString('latin1'))
  }
  for (const [which, text] of FRAMES.entries()) {
    const frame = Buffer.from(text)
    for (let at = 0; at < frame.length; at++) {
      if (at > 0) check(frame.subarray(0, at))
      check(Buffer.concat([frame.subarray(0, at), frame.subarray(at + 1)]))
      check(Buffer.concat([frame.subarray(0, at + 1), frame.subarray(at)]))
      // Each byte to some others, and over all forms to all of them.
      for (let i = (at + which) % 3; i < others.length; i += 3) {
        const spoiled = Buffer.from(frame)
        spoiled[at] = others[i] as number
        check(spoiled)
      }
    }
  }
  t.same(wrong, [])
})
