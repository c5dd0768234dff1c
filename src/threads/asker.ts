// A worker's questions to the main thread: sent, numbered, and answered or given up.

import { QUESTION_MS_MAX, QUESTIONS_MAX } from '../limits.ts'
import type { AccountsQuestion, Answer, Question } from '../ops/questions.ts'

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly timer: NodeJS.Timeout
}

export class Asker {
  readonly #send: (id: number, question: Question | AccountsQuestion) => void
  /** By number; at most QUESTIONS_MAX. */
  readonly #waiting = new Map<number, Waiting>()
  #idLast = 0

  constructor(send: (id: number, question: Question | AccountsQuestion) => void) {
    this.#send = send
  }

  /** Never rejects: what cannot be answered is an answer of status 503. */
  readonly ask = (question: Question | AccountsQuestion): Promise<Answer> => {
    if (this.#waiting.size >= QUESTIONS_MAX) return Promise.resolve(unanswered('too many at once'))
    const id = ++this.#idLast
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const timer = setTimeout(() => {
      this.onAnswer(id, unanswered('the main thread has not answered in time'))
    }, QUESTION_MS_MAX)
    // A daemon that stops does not wait for answers.
    timer.unref()
    this.#waiting.set(id, { resolve, timer })
    this.#send(id, question)
    return promise
  }

  /** An answer to a question that was given up is passed over. */
  onAnswer(id: number, answer: Answer): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    waiting.resolve(answer)
  }
}

function unanswered(message: string): Answer {
  return { status: 503, body: JSON.stringify({ error: { code: 'busy', message } }) }
}
