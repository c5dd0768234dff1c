// Small words for making the page: elements, numbers as people read them, lists of facts.

export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className = '',
  text = '',
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  if (className !== '') made.className = className
  if (text !== '') made.textContent = text
  return made
}

export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no #${id}`)
  return found as Kind
}

/** A count or a rate, short: 950, 12.3 k, 4.56 M. */
export function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1)
}

export function millis(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ms`
}

export interface Fact {
  readonly name: string
  readonly text: string
  readonly look?: 'good' | 'bad' | 'warn' | 'soft'
}

/** Replaces what a list shows. */
export function showFacts(list: HTMLElement, facts: readonly Fact[]): void {
  list.replaceChildren(
    ...facts.map(({ name, text, look = 'soft' }) => {
      const item = element('li')
      item.append(element('span', '', name), element('span', look, text))
      return item
    }),
  )
}
