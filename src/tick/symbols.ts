// Symbols: a venue's spelling <-> the canonical one ('BTCUSDT' <-> 'BTC-USDT').
//
// Pure functions, one rule a venue; no state, no table. Canonical is BASE-QUOTE for spot,
// BASE-QUOTE-PERP for a perpetual, BASE-QUOTE-YYMMDD for a dated future. A spelling that no rule
// splits stays as it is, both ways: a wrong guess would merge two instruments, a plain name never.

/** A perpetual contract's last part in a canonical symbol. */
const PERPETUAL = 'PERP'
const DELIVERY = /^([A-Z0-9]+)_(\d{6})$/
const DELIVERY_DATE = /^\d{6}$/

/** Quote assets of binance.com, where dollars are stablecoins. */
const BINANCE_QUOTES = longestFirst(
  'USDT USDC FDUSD TUSD BUSD USDP USDS USD1 USD BTC ETH BNB XRP TRX DOGE DOT SOL DAI VAI PAX EUR ' +
    'EURI AEUR GBP TRY BRL AUD RUB UAH IDRT BIDR BVND NGN ZAR PLN RON ARS JPY MXN CZK COP KZT IDR',
)
/**
 * Quote assets of Binance.US, where dollars are dollars. Without TUSD and BUSD: 'DOTUSD' and
 * 'BNBUSD' are DOT-USD and BNB-USD.
 */
const BINANCE_US_QUOTES = longestFirst('USDT USDC USD BTC ETH BNB DAI SOL')
/** Margin assets of Binance USD-M futures. */
const BINANCE_USDM_QUOTES = longestFirst('USDT USDC BUSD BTC')

/** The canonical symbol of what the venue calls `venueSymbol`. */
export function canonicalSymbol(venue: string, venueSymbol: string): string {
  switch (venue) {
    case 'binance':
      return split(venueSymbol, BINANCE_QUOTES)
    case 'binance-us':
      return split(venueSymbol, BINANCE_US_QUOTES)
    case 'binance-usdm':
      return splitContract(venueSymbol)
    default:
      return venueSymbol
  }
}

/** What the venue calls this canonical symbol. A venue's own spelling comes back as it is. */
export function venueSymbol(venue: string, symbol: string): string {
  switch (venue) {
    case 'binance':
    case 'binance-us':
      return symbol.replaceAll('-', '').toUpperCase()
    case 'binance-usdm':
      return joinContract(symbol.toUpperCase())
    default:
      return symbol
  }
}

function longestFirst(assets: string): readonly string[] {
  return assets.split(' ').sort((a, b) => b.length - a.length)
}

function split(symbol: string, quotes: readonly string[]): string {
  // Canonical already, or not the venue's own.
  if (symbol.includes('-')) return symbol
  const quote = quotes.find((asset) => symbol.length > asset.length && symbol.endsWith(asset))
  return quote === undefined ? symbol : `${symbol.slice(0, -quote.length)}-${quote}`
}

function splitContract(symbol: string): string {
  const [, pair = symbol, expiry = PERPETUAL] = DELIVERY.exec(symbol) ?? []
  const spot = split(pair, BINANCE_USDM_QUOTES)
  return spot === pair ? symbol : `${spot}-${expiry}`
}

function joinContract(symbol: string): string {
  const [base = '', quote, expiry] = symbol.split('-')
  if (quote === undefined) return symbol
  const dated = expiry !== undefined && DELIVERY_DATE.test(expiry)
  return dated ? `${base}${quote}_${expiry}` : base + quote
}
