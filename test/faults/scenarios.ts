// The scenarios: one thing that must hold, at length, with its figures.

export interface Scenario {
  readonly name: string
  readonly summary: string
  readonly full: Readonly<Record<string, number>>
  readonly smoke: Readonly<Record<string, number>>
  /** Runs, verifies and prints. False: a promise is not kept. */
  run(sizes: Readonly<Record<string, number>>, print: (text: string) => void): Promise<boolean>
}

export const SCENARIOS: readonly Scenario[] = []
