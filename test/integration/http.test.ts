import { request } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import type { History, HistoryQuery, HistoryRow } from '../../src/serve/http/history.ts'
import { HistoryUnavailable } from '../../src/serve/http/history.ts'
import { KIND } from '../../src/tick/layout.ts'
import { type RigOptions, ServeRig } from '../support/serve-rig.ts'

function rigFor(t: Test, options: RigOptions = {}): ServeRig {
  const rig = new ServeRig(options)
  rig.start()
  t.teardown(() => rig.close())
  return rig
}

/** Bodies are only looked at by t.match and t.same. */
async function get(rig: ServeRig, path: string): Promise<{ status: number; body: never }> {
  const response = await fetch(rig.http + path)
  return { status: response.status, body: (await response.json()) as never }
}

t.test('healthz says alive; readyz says what is not ready, and why', async (t) => {
  const dependencies = { postgres: { ready: false, detail: 'not connected', lag: 12 } }
  let report = { ready: true, status: 'degraded', dependencies }
  const rig = rigFor(t, { overrides: { readiness: () => report } })
  t.same(await get(rig, '/healthz'), { status: 200, body: { status: 'ok' } })
  t.same(await get(rig, '/readyz'), { status: 200, body: report }, 'degraded is ready')
  report = { ready: false, status: 'unready', dependencies }
  t.same(await get(rig, '/readyz'), { status: 503, body: report })
})

t.test('latest gives the newest records of an instrument, a glob, a venue, or all', async (t) => {
  const rig = rigFor(t)
  const btc = rig.add('BTC-USDT')
  const eth = rig.add('ETH-USDT', 'other')
  rig.publish([
    { instrument: btc, value: 1 },
    { instrument: btc, value: 2 },
    { kind: KIND.quote, instrument: btc, value: 3 },
    { instrument: eth, value: 4 },
  ])
  const symbols = async (query: string) => {
    const { body } = await get(rig, `/v1/latest${query}`)
    return (body as { records: { symbol: string; type: string }[] }).records.map(
      ({ symbol, type }) => `${symbol} ${type}`,
    )
  }
  const all = ['BTC-USDT trade', 'BTC-USDT quote', 'ETH-USDT trade']
  t.same(await symbols(''), all)
  t.same(await symbols('?symbol=BTC-USDT'), all.slice(0, 2))
  t.same(await symbols('?symbol=BTCUSDT'), all.slice(0, 2))
  t.same(await symbols('?symbol=*-USDT&venue=other'), all.slice(2))
  t.same(await symbols('?limit=1'), all.slice(0, 1))
  const { body } = await get(rig, '/v1/latest?symbol=BTC-USDT')
  t.match(body, {
    records: [
      { price: '2', seq: 1001 },
      { bid_price: '3', seq: 1002 },
    ],
  })
})

t.test('an unknown symbol is a 404, an unknown or bad parameter a 400', async (t) => {
  const rig = rigFor(t)
  rig.add('BTC-USDT')
  const code = (code: string) => ({ error: { code, message: /./ } })
  t.match(await get(rig, '/v1/latest?symbol=NOPE'), { status: 404, body: code('unknown_symbol') })
  for (const path of [
    '/v1/latest?symbl=BTC-USDT',
    '/v1/latest?symbol=A&symbol=B',
    '/v1/latest?limit=0',
    '/v1/latest?limit=1001',
    '/v1/latest?limit=1e2',
    '/v1/instruments?after=-1',
    '/v1/trades?start=yesterday',
    '/v1/trades?start=2024-01-02T00:00:00Z&end=2024-01-01T00:00:00Z',
    '/v1/trades?before=nonsense',
  ]) {
    t.match(await get(rig, path), { status: 400, body: code('bad_parameter') }, path)
  }
})

t.test('instruments come by page', async (t) => {
  const rig = rigFor(t)
  for (const symbol of ['A-B', 'C-D', 'E-F']) rig.add(symbol)
  t.same((await get(rig, '/v1/instruments?limit=2')).body, {
    instruments: [
      { id: 1, venue: 'test', symbol: 'A-B', venue_symbol: 'AB' },
      { id: 2, venue: 'test', symbol: 'C-D', venue_symbol: 'CD' },
    ],
    next: 2,
  })
  t.match((await get(rig, '/v1/instruments?limit=2&after=2')).body, {
    instruments: [{ id: 3 }],
    next: null,
  })
})

t.test('history asks the store for bounded pages, and says why when it cannot', async (t) => {
  const asked: HistoryQuery[] = []
  let answer: () => Promise<HistoryRow[]> = async () => []
  const history: History = {
    query: (_, query) => {
      asked.push(query)
      return answer()
    },
    close: async () => {},
  }
  const rig = rigFor(t, { overrides: { history } })
  const btc = rig.add('BTC-USDT')
  const row = { type: 'trade', ts_event: '2024-08-08T23:54:15.208123456Z', shard: 2, seq: 99 }
  answer = async () => [row]
  const next = '2024-08-08T23:54:15.208123Z~2~99'
  t.same(await get(rig, '/v1/trades?symbol=BTC-USDT&limit=1'), {
    status: 200,
    body: { records: [row], next },
  })
  t.match(asked[0], { instruments: [btc], rowsMax: 1, before: undefined })
  const range = Date.parse(asked[0]?.end ?? '') - Date.parse(asked[0]?.start ?? '')
  t.equal(range, 3_600_000, 'the last hour by default')
  await get(rig, `/v1/trades?before=${next}`)
  t.same(asked[1]?.before, { ts: '2024-08-08T23:54:15.208123Z', shard: 2, seq: 99 })
  t.equal(asked[1]?.instruments, undefined)
  for (const [fault, status, code] of [
    ['away', 503, 'history_unavailable'],
    ['busy', 503, 'history_busy'],
    ['slow', 504, 'history_slow'],
  ] as const) {
    answer = () => Promise.reject(new HistoryUnavailable(fault, 'because', undefined))
    t.match(await get(rig, '/v1/quotes'), { status, body: { error: { code, message: 'because' } } })
  }
})

t.test('without a database, history says that it is off', async (t) => {
  const rig = rigFor(t)
  t.match(await get(rig, '/v1/trades'), { status: 503, body: { error: { code: 'history_off' } } })
})

t.test('metrics are Prometheus text of all counters and of the process', async (t) => {
  const rig = rigFor(t)
  await fetch(`${rig.http}/nope`)
  const response = await fetch(`${rig.http}/metrics`)
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  t.match(text, /^# TYPE tickd_serve_http_requests_total counter$/m)
  t.match(text, /^tickd_serve_http_requests_total 2$/m)
  t.match(text, /^tickd_serve_http_errors_total 1$/m)
  t.match(text, /^# TYPE tickd_serve_subscribers gauge$/m)
  t.match(text, /^process_cpu_seconds_total \d/m)
})

t.test('an unknown path is 404, a wrong method 405 with what is allowed', async (t) => {
  const rig = rigFor(t)
  t.match(await get(rig, '/nope'), { status: 404, body: { error: { code: 'not_found' } } })
  const response = await fetch(`${rig.http}/v1/latest`, { method: 'DELETE' })
  t.equal(response.status, 405)
  t.equal(response.headers.get('allow'), 'GET')
  t.match(await get(rig, '/v1/ticks'), { status: 405, body: { error: { code: /./ } } })
  t.match(await get(rig, '/v1/feed'), { status: 404 }, 'the feed is a WebSocket, not a page')
})

t.test('HEAD is GET without its body', async (t) => {
  const rig = rigFor(t)
  const body = await (await fetch(`${rig.http}/openapi.json`)).text()
  const response = await fetch(`${rig.http}/openapi.json`, { method: 'HEAD' })
  t.equal(response.status, 200)
  t.equal(Number(response.headers.get('content-length')), Buffer.byteLength(body))
  t.equal(await response.text(), '')
})

t.test('the page at / loads nothing from elsewhere', async (t) => {
  const rig = rigFor(t)
  const response = await fetch(rig.http)
  t.match(response.headers.get('content-type'), 'text/html')
  t.match(response.headers.get('content-security-policy'), /default-src 'none'/)
  const page = await response.text()
  t.notMatch(page, /(src|href)\s*=\s*["']?(https?:)?\/\//i)
  t.notMatch(page, /@import|url\(/i)
})

t.test('what the page loads is there, without its types, and the schema with it', async (t) => {
  const rig = rigFor(t)
  const page = await (await fetch(rig.http)).text()
  const waiting = [...page.matchAll(/(?:href|src)="(\/console\/[^"]+)"/g)].map(([, path]) => path)
  t.equal(waiting.length, 2)
  waiting.push('/client.js')
  const seen = new Set<string>()
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    const response = await fetch(`${rig.http}${path}`)
    t.equal(response.status, 200, path)
    const isStyle = path.endsWith('.css')
    t.match(response.headers.get('content-type'), isStyle ? 'text/css' : 'text/javascript')
    const body = await response.text()
    if (isStyle) continue
    t.notMatch(body, /^(export )?(interface|type) /m, 'no type is left')
    for (const [, specifier = ''] of body.matchAll(/from\s+'([^']+)'/g)) {
      waiting.push(new URL(specifier, `${rig.http}${path}`).pathname)
    }
  }
  t.ok(seen.has('/client/feed.ts') && seen.has('/console/chart.ts'))
  const schema = await fetch(`${rig.http}/schema/tick.fbs`)
  t.match(await schema.text(), 'root_type Batch;')
})

t.test('a client that goes away in mid-request harms nothing', async (t) => {
  const rig = rigFor(t)
  for (let i = 0; i < 20; i++) {
    const socket = connect(rig.agent.port, '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('POST /v1/ticks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n')
    socket.write('Content-Length: 1000\r\n\r\n{"type":')
    socket.destroy()
  }
  const aborted = request(`${rig.http}/metrics`)
  aborted.on('error', () => {})
  aborted.end()
  aborted.destroy()
  t.match(await get(rig, '/healthz'), { status: 200 })
})
