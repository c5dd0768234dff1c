// A flame graph as one HTML file: the SVG, with search, zoom, and a table of the heaviest
// functions. The page's own text is flame-page.html, beside this file; it loads nothing.

import { readFileSync } from 'node:fs'
import { escapeXml, type FlameOptions, renderSvg } from './flame-svg.ts'
import { type FlameFrame, heaviest } from './flame-tree.ts'

const PAGE_URL = new URL('./flame-page.html', import.meta.url)
const HEAVIEST_COUNT = 25

export function renderHtml(root: FlameFrame, options: FlameOptions): string {
  const rows = heaviest(root, HEAVIEST_COUNT).map(({ label, self }) => {
    const share = `${((100 * self) / root.total).toFixed(2)} %`
    return `<tr><td>${share}<td>${options.weightText(self)}<td>${escapeXml(label)}</tr>`
  })
  const parts: Record<string, string> = {
    title: escapeXml(options.title),
    svg: renderSvg(root, options),
    table: `<table>${rows.join('\n')}</table>`,
  }
  // A function, so that a `$` in a name is not taken for a pattern.
  return readFileSync(PAGE_URL, 'utf8').replace(/<!--(\w+)-->/g, (_, part) => parts[part] ?? '')
}
