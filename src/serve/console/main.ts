// The console: what the daemon does, as its own feed and HTTP API tell it, in a browser.
//
// Prices and candles come over the binary feed through the client library, like any subscriber's;
// figures from /metrics, /readyz and /v1/ledger, once a second. A key, where the daemon wants one,
// is given behind the address: #token=…; what stands behind # is not sent to any server.

import {
  connect,
  FeedError,
  type Gap,
  recordsOf,
  type Subscription,
} from '../../../client/index.ts'
import { Candles } from './candles.ts'
import { Chart } from './chart.ts'
import { type Ledger, type Readiness, showFeed, showLedger, showReadiness } from './facts.ts'
import { Metrics } from './metrics.ts'
import { byId, element } from './page.ts'
import { Prices } from './prices.ts'
import { Tiles } from './tiles.ts'

const POLL_MS = 1000
const HIDDEN_POLL_MS = 5000
const CANDLES_MAX = 500
const HISTORY_MS = 180_000
const GAPS_MAX = 100
const INTERVALS = [
  ['1 s', 1000],
  ['5 s', 5000],
  ['1 min', 60_000],
] as const

const token = new URLSearchParams(location.hash.slice(1)).get('token')
const gaps: Gap[] = []
const tiles = new Tiles()
const chart = new Chart(byId<HTMLCanvasElement>('chart'))
let pingMs = Number.NaN

const feed = connect(`${location.origin.replace(/^http/, 'ws')}/v1/feed`, {
  ...(token === null ? {} : { token }),
  onState: (state, error) => {
    if (state === 'connecting') return
    byId('notice').hidden = state === 'open'
    byId('notice').textContent = error?.message ?? ''
    const { welcome } = feed
    if (welcome !== undefined)
      byId('session').textContent = `version ${welcome.versions.tickd}, epoch ${welcome.epoch}`
  },
})

/** The trades of the chosen instrument, and their candles of each interval. */
class Charted {
  readonly candles = INTERVALS.map(([, intervalMs]) => new Candles(intervalMs, CANDLES_MAX))
  readonly name: string
  #subscription: Subscription
  #isClosed = false

  constructor(name: string) {
    this.name = name
    byId('chart-name').textContent = name.replace(':', ' ')
    byId('chart-last').textContent = ''
    // The last minutes come out of the journal, on the same stream, and then what is live.
    this.#subscription = this.#follow({ ts: new Date(Date.now() - HISTORY_MS).toISOString() })
    this.#subscription.ready.catch(() => {
      if (!this.#isClosed) this.#subscription = this.#follow('live')
    })
  }

  close(): void {
    this.#isClosed = true
    this.#subscription.close()
  }

  #follow(from: From): Subscription {
    const request = { channel: 'trades', symbols: [this.name], from }
    return feed.subscribe(request, { batch: (batch) => this.#add(batch), gap: onGap })
  }

  #add(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      const record = batch.record(i)
      if (record.type !== 'trade') continue
      const size = Number(record.size)
      for (const each of this.candles) each.add(batch.timeMs(i), batch.price(i), size)
      byId('chart-last').textContent = record.price ?? ''
    }
    drawSoon()
  }
}

let charted: Charted | undefined
let intervalIndex = 0

const prices = new Prices((name) => {
  if (charted?.name === name) return
  charted?.close()
  charted = new Charted(name)
  drawSoon()
})

function onGap(gap: Gap): void {
  gaps.push(gap)
  if (gaps.length > GAPS_MAX) gaps.shift()
}

// However many records come, the page is drawn once a frame of the screen.
let isDrawDue = false
function drawSoon(): void {
  if (isDrawDue) return
  isDrawDue = true
  requestAnimationFrame(() => {
    isDrawDue = false
    const candles = charted?.candles[intervalIndex]
    if (candles !== undefined) chart.draw(candles)
  })
}

function showIntervals(): void {
  const buttons = INTERVALS.map(([label], index) => {
    const button = element('button', '', label)
    button.type = 'button'
    button.setAttribute('aria-pressed', String(index === intervalIndex))
    button.addEventListener('click', () => {
      intervalIndex = index
      showIntervals()
      drawSoon()
    })
    return button
  })
  byId('intervals').replaceChildren(...buttons)
}

/** The newest values of everything; where an image is too large, from now on only. */
async function followLatest(from: 'snapshot' | 'live'): Promise<void> {
  const subscription = feed.subscribe(
    { channel: 'latest', from },
    {
      batch: (batch) => {
        for (const record of recordsOf(batch)) prices.show(record)
      },
      gap: onGap,
    },
  )
  try {
    await subscription.ready
  } catch (error) {
    if (from === 'snapshot' && error instanceof FeedError) await followLatest('live')
  }
}

async function get(path: string): Promise<Response> {
  return fetch(path, token === null ? {} : { headers: { authorization: `Bearer ${token}` } })
}

async function poll(): Promise<void> {
  try {
    const [metrics, readiness, ledger] = await Promise.all([
      get('/metrics'),
      get('/readyz'),
      get('/v1/ledger'),
    ])
    if (metrics.ok) {
      tiles.show(new Metrics(await metrics.text()), feed.stats.latencyMs, performance.now())
    }
    showReadiness((await readiness.json()) as Readiness)
    if (ledger.ok) showLedger((await ledger.json()) as Ledger)
    if (feed.state === 'open') pingMs = await feed.ping()
  } catch {
    byId('ready').textContent = 'no answer'
    byId('ready').className = 'state bad'
  }
  showFeed(feed, gaps, pingMs)
  setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : POLL_MS)
}

showIntervals()
addEventListener('resize', drawSoon)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawSoon)
void followLatest('snapshot')
void poll()
