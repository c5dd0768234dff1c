// What a simulation throws when a promise is broken. Anything else thrown is a bug of either side.

export class Violation extends Error {
  /** Which promise: a short, stable name for the summary of a run. */
  readonly promise: string

  constructor(promise: string, details: string) {
    super(`${promise}: ${details}`)
    this.name = 'Violation'
    this.promise = promise
  }
}

export function check(promise: string, holds: boolean, details: () => string): void {
  if (!holds) throw new Violation(promise, details())
}
