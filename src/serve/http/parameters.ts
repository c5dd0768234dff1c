// Query parameters, read strictly: an unknown name, a repeat or a value out of bounds is an error,
// as most often it is a mistake that would otherwise pass for an answer.

import { parseTime, type WallTime } from '../../tick/time.ts'

export class BadParameter extends Error {}

export class Parameters {
  readonly #values = new Map<string, string>()

  /** Throws BadParameter when there are others than `known`. */
  constructor(query: URLSearchParams, known: readonly string[]) {
    for (const [name, value] of query) {
      if (!known.includes(name)) {
        throw new BadParameter(
          `${name.slice(0, 64)}: no such parameter; known: ${known.join(', ')}`,
        )
      }
      if (this.#values.has(name)) throw new BadParameter(`${name}: given twice`)
      this.#values.set(name, value)
    }
  }

  /** '' counts as absent, as an HTML form sends it. */
  text(name: string): string | undefined {
    return this.#values.get(name) || undefined
  }

  integer(name: string, min: number, max: number, fallback: number): number {
    const text = this.text(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
      throw new BadParameter(`${name}: a whole number from ${min} to ${max}`)
    }
    return value
  }

  /** RFC 3339, UTC. Returns the text; undefined when absent. */
  time(name: string): string | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const bytes = Buffer.from(text)
    const time: WallTime = { sec: 0, nsec: 0 }
    if (!parseTime(bytes, 0, bytes.length, time)) {
      throw new BadParameter(`${name}: a UTC time such as 2024-08-08T23:54:15.208Z`)
    }
    return text
  }
}
