// A flame graph as one SVG file without scripts, fonts or links: callers below, callees above.
//
// A frame's width is its share of the whole; frames too thin to see are left out, which bounds the
// file. Each frame's title (hover, or search in the text) has function, place, and weights.

import { type FlameFrame, labelOf } from './flame-tree.ts'

export interface FlameOptions {
  readonly title: string
  /** How a weight is said: 1234 -> '1.23 ms'. */
  readonly weightText: (weight: number) => string
  /** Frames narrower than this are not drawn. */
  readonly frameWidthMin?: number
}

/** A frame with its place: x from 0 to 1, depth from 0 at the root. */
export interface PlacedFrame {
  readonly frame: FlameFrame
  readonly x: number
  readonly width: number
  readonly depth: number
}

const WIDTH = 1200
const ROW_HEIGHT = 17
const HEAD_HEIGHT = 50
const CHAR_WIDTH = 6.7
const TEXT_CHARS_MIN = 3
const FRAME_WIDTH_MIN = 0.4

/** Where each frame goes: children side by side over their caller, by name. */
export function placeFrames(root: FlameFrame, widthMin: number): PlacedFrame[] {
  const placed: PlacedFrame[] = []
  if (root.total <= 0) return placed
  const visit = (frame: FlameFrame, x: number, depth: number): void => {
    const width = frame.total / root.total
    if (width < widthMin) return
    placed.push({ frame, x, width, depth })
    let childX = x
    for (const child of byLabel(frame.children)) {
      visit(child, childX, depth + 1)
      childX += child.total / root.total
    }
  }
  visit(root, 0, 0)
  return placed
}

export function renderSvg(root: FlameFrame, options: FlameOptions): string {
  const placed = placeFrames(root, (options.frameWidthMin ?? FRAME_WIDTH_MIN) / WIDTH)
  const rows = placed.reduce((max, { depth }) => Math.max(max, depth + 1), 1)
  const height = HEAD_HEIGHT + rows * ROW_HEIGHT + ROW_HEIGHT / 2
  const whole = options.weightText(root.total)
  const frames = placed.map((each) => frameSvg(each, height, root.total, options))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" ` +
      `height="${height}" font-family="monospace" font-size="11">`,
    `<title>${escapeXml(options.title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="6" y="17" font-size="14">${escapeXml(options.title)}</text>`,
    `<text x="6" y="34" fill="#555">${escapeXml(whole)} in all. ${LEGEND}</text>`,
    ...(placed.length === 0 ? ['<text x="6" y="55">no samples</text>'] : frames),
    '</svg>\n',
  ].join('\n')
}

const LEGEND = 'Orange: tickd. Green: packages. Blue: Node. Grey: native, asleep. Red: collector.'

function frameSvg(
  { frame, x, width, depth }: PlacedFrame,
  height: number,
  whole: number,
  { weightText }: FlameOptions,
): string {
  const left = (x * WIDTH).toFixed(1)
  const wide = width * WIDTH
  const top = height - ROW_HEIGHT / 2 - (depth + 1) * ROW_HEIGHT
  const share = `${((100 * frame.total) / whole).toFixed(2)} %`
  const label = escapeXml(labelOf(frame))
  const weights = `${weightText(frame.total)}, ${share}; itself ${weightText(frame.self)}`
  const chars = Math.floor((wide - 4) / CHAR_WIDTH)
  const text = chars < TEXT_CHARS_MIN ? '' : escapeXml(cut(labelOf(frame), chars))
  return (
    `<g data-x="${x.toFixed(6)}" data-w="${width.toFixed(6)}" data-d="${depth}">` +
    `<title>${label}: ${weights}</title>` +
    `<rect x="${left}" y="${top}" width="${wide.toFixed(1)}" height="${ROW_HEIGHT - 1}" ` +
    `fill="${colourOf(frame)}"/>` +
    (text === '' ? '' : `<text x="${(x * WIDTH + 2).toFixed(1)}" y="${top + 12}">${text}</text>`) +
    '</g>'
  )
}

function byLabel(frames: readonly FlameFrame[]): FlameFrame[] {
  return [...frames].sort((a, b) => (labelOf(a) < labelOf(b) ? -1 : 1))
}

/** By whose code it is; a shade by its file, so that neighbours differ and runs agree. */
function colourOf({ name, place }: FlameFrame): string {
  if (name === '(garbage collector)') return 'hsl(0,75%,66%)'
  const isAsleep = name === 'wait' && place.startsWith('src/ring/doorbell.ts')
  if (place === '' || isAsleep) return 'hsl(0,0%,84%)'
  const shade = 60 + (hashOf(place.replace(/:\d+$/, '')) % 20)
  if (place.startsWith('node:')) return `hsl(210,45%,${shade}%)`
  if (/^(src|bench|test|scripts|native)\//.test(place)) return `hsl(30,85%,${shade}%)`
  return `hsl(120,35%,${shade}%)`
}

function hashOf(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) >>> 0
  return hash
}

function cut(text: string, chars: number): string {
  return text.length <= chars ? text : `${text.slice(0, chars - 1)}…`
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
