// Leaps of trade ids, by each set of kernels.

import t from 'tap'
import { chooseKernels, jsKernels, type Kernels } from '../../../src/decode/kernels.ts'
import { DecodeRig } from '../../support/decode-rig.ts'
import { nativeAbsent } from '../../support/kernel-pair.ts'

function trade(id: number | string, symbol = 'BTCUSDT', more: object = {}): string {
  const rest = { p: '1.5', q: '2', T: 1723161255208, m: true, ...more }
  const text = JSON.stringify({ e: 'trade', s: symbol, t: 0, ...rest })
  return text.replace('"t":0', `"t":${id}`)
}

/** 'trade 5', or 'gap 6-8': what each record is. */
function what(rig: DecodeRig): string[] {
  return rig.records().map((record) => {
    return record.type === 'trade' ? `trade ${record.id}` : `gap ${record.from}-${record.to}`
  })
}

const sets: [name: string, kernels: Kernels][] = [['js', jsKernels]]
if (nativeAbsent() === false) sets.push(['native', chooseKernels('native')])

for (const [name, kernels] of sets) {
  const rigOf = () => new DecodeRig('binance', { kernels })

  t.test(`${name}: ids that a trade leaps over are recorded before it`, async (t) => {
    const rig = rigOf()
    const sent = (id: number | string, symbol?: string) => {
      rig.sendRaw(trade(id, symbol))
      return what(rig)
    }
    t.same(sent(100), ['trade 100'], 'what came before the first is not known')
    t.same(sent(101), ['trade 101'])
    t.same(sent(105), ['gap 102-104', 'trade 105'])
    t.same(sent(7, 'ETHUSDT'), ['trade 7'], 'each symbol has ids of its own')
    t.same(sent(103), ['trade 103'], 'late')
    t.same(sent(105), ['trade 105'], 'a repeat')
    t.same(sent(106), ['trade 106'])
    t.same(sent(8, 'ETHUSDT'), ['trade 8'])
    t.match(rig.tally, { gaps: 1, idsMissing: 3, messages: 8, decoded: 8, records: 9 })
    t.same(rig.counts, { messages: 8, decoded: 8, 'event trade': 8, 'event status': 1 })
    t.same(rig.gaps, [], 'no book is to be fetched')
  })

  t.test(
    `${name}: the record is of the trade’s time and instrument, and says of what`,
    async (t) => {
      const rig = rigOf()
      rig.send(trade(1))
      const [gap, next] = rig.send(trade(4)) as [object, { ts_event: string; ts_recv: string }]
      const { ts_event, ts_recv } = next
      const flags = ['last', 'synthetic']
      t.match(gap, { type: 'status', status: 'gap', symbol: 'BTC-USDT', ts_event, ts_recv, flags })
      t.same(
        ([0, 1, 2] as const).map((p) => rig.payload(0, p)),
        [1, 2, 3],
        'the code of trades, from, to',
      )
      t.match(next, { type: 'trade', id: '4', price: '1.5', side: 'sell', flags: ['last'] })
      t.same(
        [...rig.tally.origins.slice(0, 2)],
        [...rig.tally.origins.slice(2, 4)],
        'of one message',
      )
    },
  )

  t.test(`${name}: frames of another form are followed too, in one chain`, async (t) => {
    const rig = rigOf()
    rig.send(trade(1))
    rig.sendRaw({ stream: 'btcusdt@trade', data: JSON.parse(trade(3)) })
    t.same(what(rig), ['gap 2-2', 'trade 3'])
    // Nested members are beyond the quick ways.
    rig.sendRaw(trade(5, 'BTCUSDT', { extra: { deep: [1] } }))
    t.same(what(rig), ['gap 4-4', 'trade 5'])
    rig.sendRaw(JSON.stringify({ ...JSON.parse(trade(0)), e: 'aggTrade', a: 7, f: 1, l: 2 }))
    t.same(what(rig), ['gap 6-6', 'trade 7'])
  })

  t.test(`${name}: ids that are no count are none`, async (t) => {
    const rig = rigOf()
    rig.send(trade(10))
    for (const id of ['9223372036854775807', '-5', '9007199254740993']) {
      rig.sendRaw(trade(id))
      t.equal(rig.batch.count, 1, id)
    }
    rig.sendRaw(trade(11))
    t.same(what(rig), ['trade 11'])
  })

  t.test(`${name}: where there is no room the leap is counted all the same`, async (t) => {
    const rig = new DecodeRig('binance', { kernels, batchCapacity: 1 })
    rig.send(trade(1))
    t.equal(rig.send(trade(3)).length, 1)
    t.match(rig.tally, { gaps: 1, idsMissing: 1, records: 2 })
  })
}
