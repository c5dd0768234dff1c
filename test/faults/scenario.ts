// A scenario: one thing that must hold, at length, with its figures.

export interface Scenario {
  readonly name: string
  readonly summary: string
  /** Its sizes: options of the command line. */
  readonly full: Readonly<Record<string, number>>
  readonly smoke: Readonly<Record<string, number>>
  /**
   * Runs, verifies and prints; `sizes` has a `seed` as well. Throws when a promise is broken;
   * false: a figure is missed.
   */
  run(sizes: Readonly<Record<string, number>>, print: (text: string) => void): Promise<boolean>
}
