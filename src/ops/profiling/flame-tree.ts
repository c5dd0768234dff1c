// A profile as a tree of frames with their weights: what a flame graph draws.
//
// Weights are microseconds (cpu) or bytes (heap). A sample's time is that until the next sample.
// Files of the project are named from its root, so that a picture tells nothing of the machine.

import type { CallFrame, CpuProfile, HeapNode, HeapProfile } from './profiles.ts'

export interface FlameFrame {
  /** '(anonymous)' where the function has no name. */
  readonly name: string
  /** 'src/decode/ndjson.ts:120', 'node:fs:12'; '' for what is no script. */
  readonly place: string
  /** Own weight, and that with all below it. */
  self: number
  total: number
  readonly children: FlameFrame[]
}

const ROOT_URL = new URL('../../../', import.meta.url).href

export function flameOfCpu(profile: CpuProfile): FlameFrame {
  const selfUs = new Map<number, number>()
  const { samples, timeDeltas, startTime, endTime } = profile
  let nowUs = startTime
  for (const [index, id] of samples.entries()) {
    nowUs += timeDeltas[index] ?? 0
    const nextUs = timeDeltas[index + 1] ?? Math.max(0, endTime - nowUs)
    selfUs.set(id, (selfUs.get(id) ?? 0) + nextUs)
  }
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const build = (id: number): FlameFrame => {
    const node = nodes.get(id)
    const children = (node?.children ?? []).map(build)
    return frame(node?.callFrame, selfUs.get(id) ?? 0, children)
  }
  return build(profile.nodes[0]?.id ?? 0)
}

export function flameOfHeap(profile: HeapProfile): FlameFrame {
  const build = (node: HeapNode): FlameFrame =>
    frame(node.callFrame, node.selfSize, node.children.map(build))
  return build(profile.head)
}

/** The frames with the largest own weight, each function once. */
export function heaviest(root: FlameFrame, count: number): { label: string; self: number }[] {
  const sums = new Map<string, number>()
  const visit = (each: FlameFrame): void => {
    const label = labelOf(each)
    if (each.self > 0) sums.set(label, (sums.get(label) ?? 0) + each.self)
    each.children.forEach(visit)
  }
  visit(root)
  return [...sums]
    .map(([label, self]) => ({ label, self }))
    .sort((a, b) => b.self - a.self)
    .slice(0, count)
}

export function labelOf({ name, place }: FlameFrame): string {
  return place === '' ? name : `${name} ${place}`
}

function frame(
  at: CallFrame | undefined,
  self: number,
  children: readonly FlameFrame[],
): FlameFrame {
  const merged = mergeEqual(children)
  const total = merged.reduce((sum, child) => sum + child.total, self)
  const place = at === undefined || at.url === '' ? '' : placeOf(at)
  return { name: at?.functionName || '(anonymous)', place, self, total, children: merged }
}

/** V8 may have a function twice under one caller: optimised and not. */
function mergeEqual(frames: readonly FlameFrame[]): FlameFrame[] {
  const byLabel = new Map<string, FlameFrame>()
  for (const each of frames) {
    const first = byLabel.get(labelOf(each))
    if (first === undefined) byLabel.set(labelOf(each), each)
    else byLabel.set(labelOf(each), mergeTwo(first, each))
  }
  return [...byLabel.values()]
}

function mergeTwo(a: FlameFrame, b: FlameFrame): FlameFrame {
  return {
    ...a,
    self: a.self + b.self,
    total: a.total + b.total,
    children: mergeEqual([...a.children, ...b.children]),
  }
}

function placeOf({ url, lineNumber }: CallFrame): string {
  // A module's top level has no line.
  return lineNumber < 0 ? fileOf(url) : `${fileOf(url)}:${lineNumber + 1}`
}

function fileOf(url: string): string {
  const inModules = url.lastIndexOf('node_modules/')
  if (inModules >= 0) return url.slice(inModules + 'node_modules/'.length)
  if (url.startsWith(ROOT_URL)) return url.slice(ROOT_URL.length)
  // Some other file: its name is enough.
  return url.startsWith('file:') ? url.slice(url.lastIndexOf('/') + 1) : url
}
