// Decimals through decoder and text form: what goes in comes out, digit for digit.

import t from 'tap'
import { DecodeRig } from '../support/decode-rig.ts'

const seed = Number(process.env.TICKD_SEED ?? Date.now() % 2 ** 32)
const CASES = 5000
t.comment(`TICKD_SEED=${seed}`)
let state = seed >>> 0 || 1

/** xorshift32. */
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

function digits(count: number): string {
  return Array.from({ length: count }, () => random(10)).join('')
}

/** A decimal that fits, with at most `decimals` places, and its shortest form. */
function decimal(wholeMax: number, decimals: number): [text: string, shortest: string] {
  const whole = String(random(wholeMax))
  const fraction = digits(random(decimals + 1))
  const sign = random(4) === 0 ? '-' : ''
  const text = fraction === '' ? `${sign}${whole}` : `${sign}${whole}.${fraction}`
  const cut = fraction.replace(/0+$/, '')
  const isZero = whole === '0' && cut === ''
  const shortest = `${isZero ? '' : sign}${whole}${cut === '' ? '' : `.${cut}`}`
  return [text, shortest]
}

t.test('prices and sizes survive every decoder unchanged', async (t) => {
  const ndjson = new DecodeRig('ndjson', { batchCapacity: 4 })
  const binance = new DecodeRig('binance', { batchCapacity: 4 })
  const at = '"ts_event":"2024-08-08T00:00:00Z","venue":"v","symbol":"s"'
  let wrong = ''
  for (let i = 0; i < CASES && wrong === ''; i++) {
    const [price, shortPrice] = decimal(9_000_000_000, 9)
    const [size, shortSize] = decimal(4_000_000_000, 8)
    const id = String(random(2 ** 32)) + digits(random(9))
    const expected = { price: shortPrice, size: shortSize, id: BigInt(id).toString() }
    const number = random(2) === 0
    const plain = number ? `"price":${price},"size":${size}` : `"price":"${price}","size":"${size}"`
    const records = [
      ndjson.send(`{"type":"trade",${at},"id":"${id}",${plain}}`)[0],
      binance
        .send(
          `{"e":"trade","s":"BTCUSDT","T":1,"t":${expected.id},"p":"${price}",` +
            `"q":"${size}","m":true}`,
          // A leap of ids is told before it.
        )
        .at(-1),
    ]
    for (const record of records) {
      const got = { price: record?.price, size: record?.size, id: record?.id }
      if (JSON.stringify(got) !== JSON.stringify(expected)) {
        wrong = `${price} ${size} ${id} became ${JSON.stringify(got)}`
      }
    }
  }
  t.equal(wrong, '')
  t.same([...ndjson.rejects, ...binance.rejects], [])
})
