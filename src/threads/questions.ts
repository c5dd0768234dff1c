// The main thread's answers to what other threads ask of it.

import type { Incidents } from '../ops/incidents.ts'
import type { Answer, Question } from '../ops/questions.ts'

export interface Knowledge {
  readonly incidents: Incidents
}

export function answerQuestion(question: Question, { incidents }: Knowledge): Answer {
  switch (question.about) {
    case 'ledger':
      return { status: 503, body: '{}' }
    case 'incidents':
      return { status: 200, body: JSON.stringify({ incidents: incidents.list(question.after) }) }
  }
}
