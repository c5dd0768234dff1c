// Trade ids remembered, against a plain set: never wrong, sometimes unsure, always bounded.

import t from 'tap'
import { KIND, OFFSET, TICK_WORDS, WORD } from '../../../src/tick/layout.ts'
import { SEEN, TradeIds } from '../../../src/validate/duplicates.ts'

const words = new Int32Array(TICK_WORDS)
const i64 = new BigInt64Array(words.buffer)
const bytes = new Uint8Array(words.buffer)

function look(ids: TradeIds, instrument: number, id: bigint, price = 1n, side = 1): number {
  i64[WORD.p0 / 2] = price
  i64[WORD.p1 / 2] = 7n
  i64[WORD.p2 / 2] = id
  bytes[OFFSET.kind] = KIND.trade
  bytes[OFFSET.side] = side
  return ids.look(instrument, words, 0)
}

t.test(
  'the last ids of a dense numbering are remembered exactly, older ones are suspect',
  async (t) => {
    const window = 1024n
    const ids = new TradeIds(Number(window))
    const base = 2n ** 32n - 3000n
    for (let id = base; id < base + 6000n; id++) {
      if (look(ids, 1, id) !== SEEN.fresh) t.fail(`${id} is new`)
    }
    const last = base + 5999n
    for (let age = 0n; age < 2000n; age++) {
      const wanted = age < window ? SEEN.repeat : SEEN.suspect
      if (look(ids, 1, last - age) !== wanted) t.fail(`${age} ids old: not ${wanted}`)
    }
    t.equal(look(ids, 1, last + 1n), SEEN.fresh)
  },
)

t.test('ids that come late, but within the window, are new once', async (t) => {
  const ids = new TradeIds(1024)
  for (let id = 0n; id < 2000n; id += 2n) look(ids, 1, id)
  for (let id = 1999n; id > 1000n; id -= 2n) t.equal(look(ids, 1, id), SEEN.fresh)
  for (let id = 1999n; id > 1000n; id -= 2n) t.equal(look(ids, 1, id), SEEN.repeat)
})

t.test('another price, size or side under a known id is suspect, not a repeat', async (t) => {
  const ids = new TradeIds(16)
  t.equal(look(ids, 1, 5n, 100n, 1), SEEN.fresh)
  t.equal(look(ids, 1, 5n, 101n, 1), SEEN.suspect)
  t.equal(look(ids, 1, 5n, 100n + 2n ** 32n, 1), SEEN.suspect)
  t.equal(look(ids, 1, 5n, 100n, 2), SEEN.suspect)
  t.equal(look(ids, 1, 5n, 100n, 1), SEEN.repeat)
})

t.test('any i64 may be an id', async (t) => {
  const ids = new TradeIds(16)
  const all = [-(2n ** 63n) + 1n, -(2n ** 32n), -1n, 0n, 1n, 2n ** 31n, 2n ** 32n, 2n ** 63n - 1n]
  for (const id of all) t.equal(look(ids, 1, id), SEEN.fresh, `${id}`)
  t.equal(look(ids, 1, 2n ** 63n - 1n), SEEN.repeat)
  t.equal(look(ids, 1, -(2n ** 63n)), SEEN.fresh, 'null is no id')
  t.equal(look(ids, 1, -(2n ** 63n)), SEEN.fresh)
})

t.test('a window of zero is off', async (t) => {
  const ids = new TradeIds(0)
  t.equal(look(ids, 1, 5n), SEEN.fresh)
  t.equal(look(ids, 1, 5n), SEEN.fresh)
  t.equal(ids.windowBytes, 0)
})

t.test(
  'whatever the order of ids, no new trade is called a repeat, nor a repeat new',
  async (t) => {
    const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 31)
    t.comment(`TICKD_SEED=${seed}`)
    let state = seed >>> 0 || 1
    const random = (below: number): number => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) % below
    }
    const strides = [1n, 7n, 256n, 65_536n]
    for (const stride of strides) {
      const ids = new TradeIds(512, 64 * 1024)
      const seen = new Set<string>()
      let suspects = 0
      for (let i = 0; i < 20_000; i++) {
        const instrument = 1 + random(12)
        const id = BigInt(Math.max(0, i - random(random(8) === 0 ? 5000 : 50))) * stride
        const key = `${instrument}/${id}`
        const verdict = look(ids, instrument, id)
        if (verdict === SEEN.suspect) suspects++
        else if ((verdict === SEEN.repeat) !== seen.has(key)) {
          t.fail(`${key} at stride ${stride}: ${verdict}`)
          return
        }
        seen.add(key)
        if (ids.windowBytes > 64 * 1024) {
          t.fail(`${ids.windowBytes} bytes of windows`)
          return
        }
      }
      t.ok(suspects < 20_000, `${suspects} suspects at stride ${stride}`)
    }
  },
)

t.test('beyond the budget idle windows go; their ids are suspect, later ones new', async (t) => {
  const bytesMax = 4 * 256 * 16
  const ids = new TradeIds(256, bytesMax)
  for (let instrument = 1; instrument <= 4; instrument++) {
    t.equal(look(ids, instrument, 100n), SEEN.fresh)
  }
  t.equal(ids.windowBytes, bytesMax)
  t.equal(look(ids, 5, 100n), SEEN.fresh)
  t.equal(ids.evictedCount, 1)
  t.equal(ids.windowBytes, bytesMax, 'bounded')
  const verdicts = [1, 2, 3, 4].map((instrument) => look(ids, instrument, 100n))
  t.notOk(verdicts.includes(SEEN.fresh), 'nothing is forgotten into being new')
  t.ok(verdicts.includes(SEEN.suspect))
  for (let instrument = 1; instrument <= 5; instrument++) {
    t.equal(look(ids, instrument, 101n), SEEN.fresh)
    t.equal(look(ids, instrument, 99n) === SEEN.repeat, false)
  }
})

t.test('windows are small until they are needed', async (t) => {
  const ids = new TradeIds(4096)
  for (let instrument = 1; instrument <= 1000; instrument++) look(ids, instrument, 1n)
  t.equal(ids.windowBytes, 1000 * 256 * 16)
  for (let id = 2n; id <= 4096n; id++) look(ids, 1, id)
  t.equal(ids.windowBytes, (999 * 256 + 4096) * 16)
  t.equal(look(ids, 1, 1n), SEEN.repeat, 'growing lost nothing')
})
