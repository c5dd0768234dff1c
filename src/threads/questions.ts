// The main thread's answers to what other threads ask of it.

import type { Ledger } from '../ledger/ledger.ts'
import type { Incidents } from '../ops/incidents.ts'
import type { Answer, Question } from '../ops/questions.ts'

export interface Knowledge {
  readonly incidents: Incidents
  readonly ledger: Ledger
}

export function answerQuestion(question: Question, { incidents, ledger }: Knowledge): Answer {
  switch (question.about) {
    case 'ledger':
      return { status: 200, body: JSON.stringify(ledger.report(question.since, question.source)) }
    case 'incidents':
      return { status: 200, body: JSON.stringify({ incidents: incidents.list(question.after) }) }
  }
}
