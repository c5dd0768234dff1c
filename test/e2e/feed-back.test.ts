import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { DaemonProcess, makeStateDir } from '../support/daemon.ts'
import { ProvingClient } from '../support/proving-client.ts'

const WAIT_MS = 30_000
const CONFIG = {
  postgres: { mode: 'off' },
  redis: { mode: 'off' },
  sources: [{ name: 'synthetic', type: 'synthetic', rate: 2000 }],
}

async function start(t: Test, stateDir: string): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start({ stateDir, config: CONFIG })
  t.teardown(() => daemon.kill())
  return daemon
}

const feedOf = (daemon: DaemonProcess) => `${daemon.address('http').replace('http', 'ws')}/v1/feed`

async function until(client: ProvingClient, test: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  for (client.take(); !test(); client.take()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test('kill -9, twice: a subscriber resumes, and another is sent the same', async (t) => {
  const stateDir = makeStateDir()
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
  const client = new ProvingClient('subscriber', { channel: 'trades', slow: 'gap' })
  let url = ''
  for (let round = 0; round < 3; round++) {
    const daemon = await start(t, stateDir)
    url = feedOf(daemon)
    await client.connect(url)
    client.take()
    const epoch = (client.start?.epoch ?? 0) + round
    const isOn = () => client.epoch === epoch && (client.received.get(epoch)?.size ?? 0) > 500
    await until(client, isOn, `500 records of start ${round + 1}`)
    if (round === 2) break
    await daemon.kill()
    client.cut()
  }
  const other = new ProvingClient('another', { channel: 'trades', slow: 'gap' })
  other.start = client.start
  Object.assign(other, { epoch: client.start?.epoch, next: client.start?.seq })
  await other.connect(url)
  const end = client.next
  await until(other, () => other.epoch === client.epoch && other.next >= end, 'the same')
  for (const [epoch, received] of client.received) {
    const again = other.received.get(epoch) ?? new Map<number, string>()
    const wrong = [...received].find(([seq, price]) => {
      return (epoch < client.epoch || seq < end) && again.get(seq) !== price
    })
    t.equal(wrong, undefined, `epoch ${epoch}: each record has its sequence for ever`)
  }
  t.equal(client.received.size, 3)
  t.same([client.gaps, other.gaps, other.voids], [[], [], []])
})
