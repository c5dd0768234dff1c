// Which case shows what of docs/protocol.md: its sections, each of its MUSTs, error numbers and
// close codes. Read from the page itself, so that nothing on it can be forgotten.

import { readFileSync } from 'node:fs'
import { CASES, ELSEWHERE } from './cases.ts'
import type { FeedCase } from './target.ts'

export interface Rule {
  readonly kind: 'section' | 'must' | 'error' | 'close'
  /** The heading, the sentence, the number. */
  readonly text: string
  /** Names of the cases that show it, or where else it is shown. */
  readonly shownBy: readonly string[]
}

const PAGE = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
const PROSE = PAGE.replaceAll(/\s+/g, ' ')

export function rules(): Rule[] {
  return [
    ...sections(),
    ...musts(),
    ...numbers('error', 'Errors'),
    ...numbers('close', 'Close codes'),
  ]
}

/** Words that a case is about and that the page no longer says. */
export function forgottenWords(): string[] {
  return CASES.flatMap(({ must = [] }) => must).filter((words) => !PROSE.includes(words))
}

function sections(): Rule[] {
  return [...PAGE.matchAll(/^###? (.+)$/gm)].map(([, text = '']) => {
    const cases = namesOf((each) => each.section === text)
    const elsewhere = ELSEWHERE[text]
    return { kind: 'section', text, shownBy: elsewhere === undefined ? cases : [elsewhere] }
  })
}

function musts(): Rule[] {
  const sentences = PROSE.split(/(?<=[.;:]) /).filter((sentence) => /\bMUST\b/.test(sentence))
  return sentences.map((text) => {
    const shownBy = namesOf(({ must = [] }) => must.some((words) => text.includes(words)))
    return { kind: 'must', text, shownBy }
  })
}

function numbers(kind: 'error' | 'close', heading: string): Rule[] {
  const table = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...table.matchAll(/^\| (\d{4}) \|/gm)].map(([, text = '']) => {
    const named = (each: FeedCase) => (kind === 'error' ? each.errors : each.closes) ?? []
    return { kind, text, shownBy: namesOf((each) => named(each).includes(Number(text))) }
  })
}

function namesOf(test: (each: FeedCase) => boolean): string[] {
  return CASES.filter(test).map(({ section, name }) => `${section}: ${name}`)
}
