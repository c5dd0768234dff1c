import t from 'tap'
import { QUESTIONS_MAX } from '../../../src/limits.ts'
import type { Question } from '../../../src/ops/questions.ts'
import { Asker } from '../../../src/threads/asker.ts'

const QUESTION: Question = { about: 'incidents', after: 0 }

t.test('each question gets its own answer, in whatever order they come', async (t) => {
  const sent: number[] = []
  const asker = new Asker((id) => sent.push(id))
  const answers = [asker.ask(QUESTION), asker.ask(QUESTION)]
  t.equal(sent.length, 2)
  asker.onAnswer(sent[1] as number, { status: 200, body: 'second' })
  asker.onAnswer(sent[0] as number, { status: 200, body: 'first' })
  asker.onAnswer(sent[0] as number, { status: 200, body: 'again: passed over' })
  t.same(
    (await Promise.all(answers)).map(({ body }) => body),
    ['first', 'second'],
  )
})

t.test('too many at once are refused at once', async (t) => {
  const sent: number[] = []
  const asker = new Asker((id) => sent.push(id))
  const answers = Array.from({ length: QUESTIONS_MAX }, () => asker.ask(QUESTION))
  t.equal((await asker.ask(QUESTION)).status, 503)
  for (const id of sent) asker.onAnswer(id, { status: 200, body: '{}' })
  t.equal((await Promise.all(answers)).length, QUESTIONS_MAX)
  const next = asker.ask(QUESTION)
  asker.onAnswer(sent.at(-1) as number, { status: 200, body: '{}' })
  t.equal((await next).status, 200, 'and there is room again')
})
