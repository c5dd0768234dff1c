// Names with `*`, which stands for any run of characters, none included. Nothing else is special.

const ANY = '*'

/** Whether `text` is what `pattern` describes; linear in practice, never exponential. */
export function wildcardMatches(pattern: string, text: string): boolean {
  let p = 0
  let i = 0
  let star = -1
  let resume = 0
  while (i < text.length) {
    if (pattern[p] === ANY) {
      star = p++
      resume = i
    } else if (p < pattern.length && pattern[p] === text[i]) {
      p++
      i++
    } else if (star >= 0) {
      p = star + 1
      i = ++resume
    } else return false
  }
  while (pattern[p] === ANY) p++
  return p === pattern.length
}
