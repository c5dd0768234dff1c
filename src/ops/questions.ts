// What only the main thread knows, asked for by others: the ledger's book, the incidents.
//
// A question and its answer cross threads as plain data. The answer is an HTTP answer already made,
// so that the asking thread (serve) passes it on without parsing it.

export type Question =
  | {
      readonly about: 'ledger'
      /** RFC 3339; undefined = the last hour. */
      readonly since: string | undefined
      /** Name of a source; undefined = all. */
      readonly source: string | undefined
    }
  | {
      readonly about: 'incidents'
      /** Those with a larger id only. */
      readonly after: number
    }

/** What the other threads that serve know: main asks them. The answer is an object. */
export interface AccountsQuestion {
  readonly about: 'subscribers'
  /** So many of each thread, at most. */
  readonly max: number
}

export interface Answer {
  readonly status: number
  /** JSON: an object. */
  readonly body: string
}

export type Ask = (question: Question) => Promise<Answer>
export type AskAny = (question: Question | AccountsQuestion) => Promise<Answer>
