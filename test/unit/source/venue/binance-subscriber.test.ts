import t from 'tap'
import { BinanceSubscriber } from '../../../../src/source/venue/binance-subscriber.ts'

interface Message {
  method: string
  params: string[]
  id: number
}

/** Answers every message as `refuses` says, until the subscriber is done. */
function subscribe(
  streams: readonly string[],
  refuses: (stream: string) => boolean,
  errorsHaveId = true,
): { subscriber: BinanceSubscriber; accepted: string[]; sentMs: number[] } {
  const subscriber = new BinanceSubscriber(streams)
  const accepted: string[] = []
  const sentMs: number[] = []
  for (let nowMs = 0; !subscriber.done; nowMs += 10) {
    const text = subscriber.next(nowMs)
    if (text === undefined) continue
    sentMs.push(nowMs)
    const { method, params, id } = JSON.parse(text) as Message
    if (method !== 'SUBSCRIBE') throw new Error(method)
    if (params.some(refuses)) {
      subscriber.reply(errorsHaveId ? id : undefined, '2: Invalid request: invalid stream')
    } else {
      accepted.push(...params)
      subscriber.reply(id, undefined)
    }
  }
  return { subscriber, accepted, sentMs }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i}@trade`)

t.test('all streams are named once, in messages at least 300 ms apart', async (t) => {
  const { subscriber, accepted, sentMs } = subscribe(names(1024), () => false)
  t.same(accepted, names(1024))
  t.equal(sentMs.length, 21)
  for (let i = 1; i < sentMs.length; i++) {
    t.ok((sentMs[i] as number) - (sentMs[i - 1] as number) >= 300)
  }
  t.same(subscriber.refusals, [])
})

for (const errorsHaveId of [true, false]) {
  t.test(
    `refused streams are found, others go on; errors name an id: ${errorsHaveId}`,
    async (t) => {
      const bad = new Set(['s3@trade', 's4@trade', 's77@trade'])
      const { subscriber, accepted } = subscribe(names(100), (name) => bad.has(name), errorsHaveId)
      t.same(subscriber.refusals.map(({ stream }) => stream).sort(), [...bad].sort())
      t.match(subscriber.refusals[0]?.reason, /invalid stream/)
      t.same(
        accepted.sort(),
        names(100)
          .filter((name) => !bad.has(name))
          .sort(),
      )
    },
  )
}

t.test('when everything is refused it ends, with every stream refused', async (t) => {
  const { subscriber, accepted } = subscribe(names(5), () => true)
  t.same(accepted, [])
  t.equal(subscriber.refusals.length, 5)
})

t.test('a reply to another request, or to none, changes nothing', async (t) => {
  const subscriber = new BinanceSubscriber(['a@trade'])
  subscriber.reply(1, undefined)
  t.notOk(subscriber.done)
  subscriber.next(0)
  subscriber.reply(99, '2: no')
  t.notOk(subscriber.done)
  t.same(subscriber.refusals, [])
  subscriber.reply(1, undefined)
  t.ok(subscriber.done)
})
