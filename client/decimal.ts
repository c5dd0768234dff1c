// Scaled integers and nanoseconds as exact text.

const NULL = -(2n ** 63n)
const PRICE_DECIMALS = 9
const SIZE_DECIMALS = 8

/** `value` × 10^-decimals, without an exponent and without trailing zeros. */
export function decimalText(value: bigint, decimals: number): string | null {
  if (value === NULL) return null
  const isNegative = value < 0n
  const digits = String(isNegative ? -value : value).padStart(decimals + 1, '0')
  const sign = isNegative ? '-' : ''
  const point = digits.length - decimals
  let end = digits.length
  while (end > point && digits.charCodeAt(end - 1) === 0x30) end--
  const whole = sign + digits.slice(0, point)
  return end === point ? whole : `${whole}.${digits.slice(point, end)}`
}

export function priceText(value: bigint): string | null {
  return decimalText(value, PRICE_DECIMALS)
}

export function sizeText(value: bigint): string | null {
  return decimalText(value, SIZE_DECIMALS)
}

export function integerText(value: bigint): string | null {
  return value === NULL ? null : String(value)
}

export function integerNumber(value: bigint): number | null {
  return value === NULL ? null : Number(value)
}

/** Nanoseconds since 1970 as RFC 3339 with nine digits. */
export function timeText(value: bigint): string | null {
  if (value === NULL) return null
  const second = new Date(Number(value / 1_000_000_000n) * 1000).toISOString()
  return `${second.slice(0, 19)}.${String(value % 1_000_000_000n).padStart(9, '0')}Z`
}

export function timeMs(value: bigint): number {
  return value === NULL ? Number.NaN : Number(value) / 1e6
}

/** RFC 3339 with nine digits as milliseconds, the fraction kept as far as a double can. */
export function textMs(text: string | null): number {
  if (text === null) return Number.NaN
  return Date.parse(`${text.slice(0, 19)}Z`) + Number(`0${text.slice(19, -1)}`) * 1000
}
