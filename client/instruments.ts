// Names beyond those that an ack lists: had over HTTP from the same daemon, page by page.

import type { Instrument } from './record.ts'

interface Page {
  readonly instruments: readonly Instrument[]
  readonly next: number | null
}

/** `feedUrl`: ws://… or wss://…; the API is at the same host. */
export async function fetchInstruments(
  feedUrl: string,
  token: string | undefined,
  onPage: (instruments: readonly Instrument[]) => void,
): Promise<void> {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` }
  const url = new URL('/v1/instruments', feedUrl.replace(/^ws/, 'http'))
  for (let after: number | null = 0; after !== null; ) {
    url.searchParams.set('after', String(after))
    const response = await fetch(url, { headers })
    if (!response.ok) throw new Error(`GET ${url.pathname}: HTTP ${response.status}`)
    const page = (await response.json()) as Page
    onPage(page.instruments)
    after = page.next
  }
}
