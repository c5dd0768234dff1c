// What main asks of the thread for dead letters, and what that answers: plain data.

import type { ErrorCode } from '../errors.ts'
import type { BookFilter } from '../validate/dead-letter-book.ts'
import type { ReplayRequest } from '../validate/dead-letter-replay.ts'

export type LettersCall =
  | { readonly op: 'list'; readonly filter: BookFilter; readonly limit: number }
  | { readonly op: 'summary'; readonly filter: BookFilter }
  | { readonly op: 'show'; readonly id: string }
  | { readonly op: 'purge'; readonly filter: BookFilter }
  | { readonly op: 'replay'; readonly request: ReplayRequest }

/** `value`: undefined = there is no such letter. */
export type LettersAnswer =
  | { readonly value: object | undefined }
  | { readonly code: ErrorCode; readonly message: string }

/** Throws TickdError. */
export type LettersDo = (call: LettersCall) => Promise<object | undefined>
