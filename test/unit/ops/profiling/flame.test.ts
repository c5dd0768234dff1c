import t from 'tap'
import { renderHtml } from '../../../../src/ops/profiling/flame-html.ts'
import { escapeXml, placeFrames, renderSvg } from '../../../../src/ops/profiling/flame-svg.ts'
import {
  type FlameFrame,
  flameOfCpu,
  flameOfHeap,
  heaviest,
  labelOf,
} from '../../../../src/ops/profiling/flame-tree.ts'
import type { CallFrame, CpuProfile } from '../../../../src/ops/profiling/profiles.ts'

const ROOT = new URL('../../../../', import.meta.url).href

function at(functionName: string, url = '', lineNumber = -1): CallFrame {
  return { functionName, url, lineNumber }
}

/**
 * (root) ─ run ─┬─ decode ─ scan   and (idle). Time: run 10, decode 20, scan 40 µs, idle 30.
 *               └─ decode          the same function a second time, as V8 has it after a deopt.
 */
const PROFILE: CpuProfile = {
  nodes: [
    { id: 1, callFrame: at('(root)'), children: [2, 6] },
    { id: 2, callFrame: at('run', `${ROOT}src/threads/runner.ts`, 9), children: [3, 5] },
    { id: 3, callFrame: at('decode', `${ROOT}src/decode/ndjson.ts`, 99), children: [4] },
    { id: 4, callFrame: at('scan', 'file:///elsewhere/node_modules/pkg/a<b>.js', 0) },
    { id: 5, callFrame: at('decode', `${ROOT}src/decode/ndjson.ts`, 99) },
    { id: 6, callFrame: at('(idle)') },
  ],
  startTime: 1000,
  endTime: 1105,
  samples: [2, 3, 4, 4, 5, 6],
  // The first delta is the time before the first sample, which is nobody's.
  timeDeltas: [5, 10, 12, 30, 10, 8],
}

function find(root: FlameFrame, name: string): FlameFrame[] {
  return [root, ...root.children.flatMap((child) => find(child, name))].filter(
    (frame, index) => frame.name === name && (index > 0 || frame === root),
  )
}

t.test('a sample has the time until the next; equal callees are one frame', async (t) => {
  const root = flameOfCpu(PROFILE)
  t.equal(root.total, 100)
  t.equal(root.self, 0)
  const [run] = find(root, 'run')
  t.match(run, { place: 'src/threads/runner.ts:10', self: 10, total: 70 })
  const decodes = find(root, 'decode')
  t.equal(decodes.length, 1)
  t.match(decodes[0], { place: 'src/decode/ndjson.ts:100', self: 12 + 8, total: 60 })
  t.match(find(root, '(idle)')[0], { place: '', self: 30, total: 30 })
})

t.test('a total is what is below plus its own, everywhere', async (t) => {
  const check = (frame: FlameFrame): void => {
    const below = frame.children.reduce((sum, child) => sum + child.total, 0)
    t.equal(frame.total, frame.self + below, labelOf(frame))
    frame.children.forEach(check)
  }
  check(flameOfCpu(PROFILE))
})

t.test('places tell nothing of the machine', async (t) => {
  const [scan] = find(flameOfCpu(PROFILE), 'scan')
  t.equal(scan?.place, 'pkg/a<b>.js:1')
  const other = { ...PROFILE, nodes: [{ id: 1, callFrame: at('', 'file:///home/me/x.ts', -1) }] }
  t.match(flameOfCpu(other), { name: '(anonymous)', place: 'x.ts' })
})

t.test('a heap profile is a tree already; its weights are bytes', async (t) => {
  const leaf = { callFrame: at('alloc', 'node:fs', 4), selfSize: 64, children: [] }
  const head = { callFrame: at('(root)'), selfSize: 0, children: [leaf, leaf] }
  const root = flameOfHeap({ head })
  t.equal(root.total, 128)
  t.match(root.children, [{ name: 'alloc', place: 'node:fs:5', self: 128 }])
  t.equal(root.children.length, 1)
})

t.test('frames stand on their callers, side by side, and thin ones are left out', async (t) => {
  const root = flameOfCpu(PROFILE)
  const placed = placeFrames(root, 0)
  t.same(
    placed.map(({ frame, x, width, depth }) => [frame.name, x, width, depth]),
    [
      ['(root)', 0, 1, 0],
      ['(idle)', 0, 0.3, 1],
      ['run', 0.3, 0.7, 1],
      ['decode', 0.3, 0.6, 2],
      ['scan', 0.3, 0.4, 3],
    ],
  )
  t.same(
    placeFrames(root, 0.5).map(({ frame }) => frame.name),
    ['(root)', 'run', 'decode'],
  )
})

const OPTIONS = { title: 'cpu of <hot>', weightText: (weight: number) => `${weight} us` }

t.test('the SVG has a titled rectangle for each frame, and nothing from elsewhere', async (t) => {
  const svg = renderSvg(flameOfCpu(PROFILE), OPTIONS)
  t.equal(svg.match(/<g [^>]*><title>/g)?.length, 5)
  t.match(svg, '<title>decode src/decode/ndjson.ts:100: 60 us, 60.00 %; itself 20 us</title>')
  t.match(svg, 'scan pkg/a&#60;b&#62;.js:1: 40 us, 40.00 %')
  t.match(svg, 'cpu of &#60;hot&#62;')
  t.notMatch(svg, /<script|href|url\(/)
  const width = /<title>run [^>]*>\s*<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/.exec(svg)
  t.same([width?.[1], width?.[2]], ['360.0', '840.0'], 'of 1200')
})

t.test('the page has the graph, a search, and the heaviest functions first', async (t) => {
  const page = renderHtml(flameOfCpu(PROFILE), OPTIONS)
  t.match(page, '<title>cpu of &#60;hot&#62;</title>')
  t.match(page, '<input id="search"')
  const rows = [...page.matchAll(/<tr><td>(.*?) %<td>(.*?)<td>(.*?)<\/tr>/g)].map((row) => row[3])
  t.match(rows[0], /^scan /)
  t.match(rows[1], /^\(idle\)/)
  t.equal(rows.length, 4)
  t.notMatch(page, /<!--(svg|title|table)-->/)
  t.notMatch(page, /(src|href)=/)
})

t.test('the heaviest functions are summed over their callers', async (t) => {
  const twice: FlameFrame = { name: 'f', place: 'a:1', self: 2, total: 2, children: [] }
  const root = { ...twice, name: 'root', self: 3, children: [twice, { ...twice }] }
  t.same(heaviest(root, 2), [
    { label: 'f a:1', self: 4 },
    { label: 'root a:1', self: 3 },
  ])
})

t.test('a profile without samples says so', async (t) => {
  const empty = { ...PROFILE, samples: [], timeDeltas: [] }
  t.match(renderSvg(flameOfCpu(empty), OPTIONS), /no samples/)
})

t.test('nothing in a name can end the text it stands in', async (t) => {
  t.equal(escapeXml('a<b>&"c'), 'a&#60;b&#62;&#38;&#34;c')
})
