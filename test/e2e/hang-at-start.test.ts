// An agent that hangs while others on its thread have yet to start does not keep the daemon from
// it.

import t from 'tap'
import { DaemonProcess } from '../support/daemon.ts'

t.setTimeout(120_000)

t.test(
  'a hang before all agents run: the thread is made anew, and the daemon serves',
  async (t) => {
    const daemon = await DaemonProcess.start({
      config: {
        sources: [{ name: 'post', type: 'http' }],
        // Aggregate hangs at once; the journal, on the same thread, is started after it.
        threads: {
          hung: ['aggregate', 'journal'],
          live: ['source', 'decode', 'serve'],
          store: ['postgres', 'redis'],
        },
        postgres: { mode: 'off' },
        redis: { mode: 'off' },
        admin: { enabled: false },
        supervise: { hang_ms: 1000, disk_hang_ms: 1000 },
      },
      env: { TICKD_TEST_FAULTS: 'aggregate:hang@0', TICKD_TEST_FAULTS_ALLOWED: 'yes' },
    })
    t.teardown(() => daemon.kill())
    const ended = await daemon.waitFor(({ msg }) => msg === 'thread ended; making it anew')
    t.match(ended, { thread: 'hung', called: 'aggregate' })
    const response = await fetch(`${daemon.address('http')}/v1/ticks`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body:
        '{"type":"trade","venue":"x","symbol":"A-B","ts_event":"2026-03-01T00:00:00Z","id":"1",' +
        '"side":"buy","price":"1","size":"1"}\n',
    })
    t.match(await response.json(), { accepted: 1 }, 'and the journal takes records')
    t.equal(await daemon.stop(), 0)
  },
)
