// What a symbol says about a synthetic instrument: settlement prices or a market, and where its
// price begins.

const POWER_SYMBOL = /^(PJM|MISO|NYISO|ERCOT|CAISO|SPP|ISONE)\b|\./
/** Usual prices of well-known bases; others get one from their name. */
const START_PRICE: Readonly<Record<string, number>> = Object.freeze({
  BTC: 60_000,
  ETH: 3000,
  SOL: 150,
  EUR: 1.08,
  GBP: 1.27,
  JPY: 0.0067,
})

/** Whether the symbol gets settlement prices, as a power node does. */
export function isPowerSymbol(symbol: string): boolean {
  return POWER_SYMBOL.test(symbol)
}

/** By the base of the symbol where it is known, else 10 … 1,009 by the letters of its name. */
export function startPrice(symbol: string): number {
  const base = symbol.split('-')[0] as string
  let sum = 0
  for (let i = 0; i < symbol.length; i++) sum = (sum * 31 + symbol.charCodeAt(i)) % 1000
  return START_PRICE[base] ?? 10 + sum
}
