// The table of newest values, from the `latest` channel: a row an instrument, to be chosen.

import type { FeedRecord } from '../../../client/index.ts'
import { byId, element } from './page.ts'

const ROWS_MAX = 200

interface Row {
  readonly key: string
  readonly line: HTMLTableRowElement
  readonly last: HTMLElement
  readonly size: HTMLElement
  readonly bid: HTMLElement
  readonly ask: HTMLElement
  readonly time: HTMLElement
}

export class Prices {
  readonly #rows = new Map<string, Row>()
  readonly #body = byId('prices')
  readonly #onChoose: (name: string) => void
  #chosen = ''

  /** `onChoose`: told `venue:symbol`. */
  constructor(onChoose: (name: string) => void) {
    this.#onChoose = onChoose
  }

  show(record: FeedRecord): void {
    if (record.venue === null || record.symbol === null) return
    const row = this.#row(record.venue, record.symbol)
    if (row === undefined) return
    if (record.type === 'quote') {
      put(row.bid, record.bid_price)
      put(row.ask, record.ask_price)
    } else if (record.type === 'trade' || record.type === 'price') {
      put(row.last, record.price)
      if (record.type === 'trade') {
        put(row.size, record.size)
        if (this.#chosen === '') this.choose(row.key)
      }
    }
    row.time.textContent = (record.ts_event ?? '').slice(11, 23)
  }

  choose(key: string): void {
    this.#chosen = key
    for (const row of this.#rows.values()) {
      row.line.setAttribute('aria-selected', String(row.key === key))
    }
    this.#onChoose(key)
  }

  #row(venue: string, symbol: string): Row | undefined {
    const key = `${venue}:${symbol}`
    const known = this.#rows.get(key)
    if (known !== undefined || this.#rows.size >= ROWS_MAX) return known
    const cell = (className = '') => element('td', className, '–')
    const row: Row = {
      key,
      line: element('tr'),
      last: cell(),
      size: cell('wide'),
      bid: cell(),
      ask: cell(),
      time: cell('wide soft'),
    }
    const name = element('td')
    const button = element('button', '', symbol)
    button.type = 'button'
    button.addEventListener('click', () => this.choose(key))
    name.append(button, element('small', 'wide', venue))
    row.line.append(name, row.last, row.size, row.bid, row.ask, row.time)
    this.#rows.set(key, row)
    const keys = [...this.#rows.keys()].sort()
    const after = this.#rows.get(keys[keys.indexOf(key) + 1] ?? '')
    this.#body.insertBefore(row.line, after?.line ?? null)
    byId('none').hidden = true
    return row
  }
}

/** Shows a value, with a flash in the colour of its change. */
function put(cell: HTMLElement, text: string | null): void {
  const value = text ?? '–'
  if (cell.textContent === value) return
  const change = Number(value) - Number(cell.textContent)
  cell.textContent = value
  if (!(Math.abs(change) > 0)) return
  cell.classList.remove('up', 'down')
  // Reading a measure restarts the animation.
  void cell.offsetWidth
  cell.classList.add(change > 0 ? 'up' : 'down')
}
