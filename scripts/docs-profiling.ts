// npm run docs:profiling: takes the session that docs/profiling.md walks through, anew.
//
// A real daemon under the e2e load; its pictures go to docs/images, and what they show in numbers
// between the marks of the page. Frames narrower than a pixel are left out of pictures on a page.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { renderSvg } from '../src/ops/profiling/flame-svg.ts'
import {
  type FlameFrame,
  flameOfCpu,
  flameOfHeap,
  heaviest,
} from '../src/ops/profiling/flame-tree.ts'
import { DaemonProcess } from '../test/support/daemon.ts'
import { LOAD_CONFIG, startLoad } from './profile-session.ts'

const DOCS = resolve(import.meta.dirname, '../docs')
const PAGE = join(DOCS, 'profiling.md')
const IMAGES = join(DOCS, 'images')
const FRAME_WIDTH_MIN = 1
const HEAVIEST_COUNT = 8
const SECONDS = 5

/** Each picture of the page, and the mark between which its table stands. */
const PICTURES = [
  { name: 'decode', kind: 'cpu', thread: 'decode-0' },
  { name: 'journal', kind: 'cpu', thread: 'journal-0' },
  { name: 'serve', kind: 'cpu', thread: 'serve' },
  { name: 'postgres-heap', kind: 'heap', thread: 'postgres-0' },
] as const

const cpuText = (us: number) => `${(us / 1000).toFixed(0)} ms`
const bytesText = (bytes: number) => `${(bytes / 1024).toFixed(0)} KiB`

const daemon = await DaemonProcess.start({
  config: LOAD_CONFIG,
  // Functions of the twins have names; native code would be one frame.
  env: { TICKD_KERNELS: 'js' },
})
try {
  const load = await startLoad(daemon.listening('push'), daemon.address('feed'))
  try {
    await takeSession()
  } finally {
    load.stop()
  }
} finally {
  await daemon.stop()
}

async function takeSession(): Promise<void> {
  mkdirSync(IMAGES, { recursive: true })
  let page = readFileSync(PAGE, 'utf8')
  page = between(page, 'threads', fenced(await threads()))
  for (const { name, kind, thread } of PICTURES) {
    const profile = await (
      await ask('POST', `profile/${kind}?thread=${thread}&seconds=${SECONDS}`)
    ).json()
    const root = kind === 'cpu' ? flameOfCpu(profile as never) : flameOfHeap(profile as never)
    const weightText = kind === 'cpu' ? cpuText : bytesText
    const title = `${kind} of the thread of ${thread}, ${SECONDS} s`
    const svg = renderSvg(root, { title, weightText, frameWidthMin: FRAME_WIDTH_MIN })
    writeFileSync(join(IMAGES, `profile-${name}.svg`), svg)
    page = between(page, name, tableOf(root, weightText))
  }
  page = between(page, 'metrics', fenced(await metrics()))
  page = between(page, 'machine', machineText())
  writeFileSync(PAGE, page)
}

async function ask(method: string, path: string): Promise<Response> {
  const admin = daemon.lines.find(({ name }) => name === 'admin')?.address
  const response = await fetch(`${admin}/debug/${path}`, { method })
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`)
  return response
}

async function threads(): Promise<string> {
  const { threads } = (await (await ask('GET', 'threads')).json()) as {
    threads: { name: string; roles: string[]; waits: string }[]
  }
  const rows = threads.map(({ name, roles, waits }) => {
    return `${name.padEnd(8)} ${waits.padEnd(10)}  ${roles.join(', ')}`.trimEnd()
  })
  return `$ tickd profile threads\n${rows.join('\n')}`
}

/** The lines that say which thread is the busy one, and which agent on it. */
async function metrics(): Promise<string> {
  const text = await (await fetch(`${daemon.address('http')}/metrics`)).text()
  const wanted =
    /^tickd_(thread_(utilization|gc_seconds_total)|agent_duty_seconds_max|tick_ring_lag)/
  const rows = text.split('\n').filter((line) => wanted.test(line))
  return rows.map((row) => row.replace(/(\d+\.\d{1,4})\d*(e-\d+)?$/, '$1')).join('\n')
}

function machineText(): string {
  const [cpu] = cpus()
  return `Taken on ${cpus().length} cores (${cpu?.model}), Node ${process.version}.`
}

function tableOf(root: FlameFrame, weightText: (weight: number) => string): string {
  const rows = heaviest(root, HEAVIEST_COUNT).map(({ label, self }) => {
    // V8's own are in parentheses: (idle), (garbage collector).
    const [, name, place = ''] = /^(\([^)]*\)|\S+) ?(.*)$/.exec(label) ?? ['', label]
    const share = `${((100 * self) / root.total).toFixed(1)} %`
    return `| ${share} | ${weightText(self)} | \`${name}\` | ${place} |`
  })
  return ['| share | itself | function | where |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function fenced(text: string): string {
  return `\`\`\`\n${text}\n\`\`\``
}

/** Replaces what stands between <!-- name --> and <!-- /name -->. */
function between(page: string, name: string, text: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const from = page.indexOf(open)
  const to = page.indexOf(close)
  if (from < 0 || to < from) throw new Error(`${PAGE} has no ${open} … ${close}`)
  return `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`
}
