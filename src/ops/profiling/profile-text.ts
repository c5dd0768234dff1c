// A profile in the form that was asked for: as it is, or drawn.

import { TickdError } from '../../errors.ts'
import { renderHtml } from './flame-html.ts'
import { type FlameOptions, renderSvg } from './flame-svg.ts'
import { flameOfCpu, flameOfHeap } from './flame-tree.ts'
import type { Profile } from './profiler.ts'
import type { ProfileKind } from './profiles.ts'

/** The forms of each kind, its own first: that is what you get unless you ask. */
export const PROFILE_FORMATS = {
  cpu: ['cpuprofile', 'svg', 'html'],
  heap: ['heapprofile', 'svg', 'html'],
  trace: ['json'],
} as const satisfies Record<ProfileKind, readonly string[]>
export type ProfileFormat = (typeof PROFILE_FORMATS)[ProfileKind][number]

export const FORMAT_TYPES: Readonly<Record<ProfileFormat, string>> = Object.freeze({
  cpuprofile: 'application/json',
  heapprofile: 'application/json',
  json: 'application/json',
  svg: 'image/svg+xml; charset=utf-8',
  html: 'text/html; charset=utf-8',
})

/** The format of that name; the kind's own for ''. Throws when the kind has no such form. */
export function formatOf(kind: ProfileKind, name: string): ProfileFormat {
  const formats: readonly ProfileFormat[] = PROFILE_FORMATS[kind]
  const format = name === '' ? formats[0] : formats.find((each) => each === name)
  if (format !== undefined) return format
  throw new TickdError('USAGE', `format ${name}: of ${kind} there is ${formats.join(', ')}`)
}

/** The text in pieces, so that a large one is not held as one string. */
export function* profileText(
  profile: Profile,
  format: ProfileFormat,
  title: string,
): Generator<string> {
  if (profile.kind === 'trace') yield* traceText(profile.value.traceEvents)
  else if (format === 'svg' || format === 'html') {
    const isCpu = profile.kind === 'cpu'
    const root = isCpu ? flameOfCpu(profile.value) : flameOfHeap(profile.value)
    const options: FlameOptions = { title, weightText: isCpu ? timeText : bytesText }
    yield format === 'svg' ? renderSvg(root, options) : renderHtml(root, options)
  } else yield JSON.stringify(profile.value)
}

const EVENTS_PER_PIECE = 1000

function* traceText(events: readonly unknown[]): Generator<string> {
  yield '{"traceEvents":['
  for (let from = 0; from < events.length; from += EVENTS_PER_PIECE) {
    const piece = events.slice(from, from + EVENTS_PER_PIECE).map((event) => JSON.stringify(event))
    yield `${from === 0 ? '' : ','}${piece.join(',\n')}`
  }
  yield ']}\n'
}

function timeText(us: number): string {
  return us >= 1e6 ? `${(us / 1e6).toFixed(2)} s` : `${(us / 1000).toFixed(1)} ms`
}

function bytesText(bytes: number): string {
  if (bytes >= 2 ** 20) return `${(bytes / 2 ** 20).toFixed(1)} MiB`
  return bytes >= 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${bytes} bytes`
}
