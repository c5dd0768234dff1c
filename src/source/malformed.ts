// Hostile lines, reproducible by seed: what a decoder must survive. Each is made from a good line
// by one kind of damage, or is no line at all.
//
// A line holds no line end of its own, ends with one, and is at most LINE_BYTES_MAX long, so that
// lines are countable at the other side. Some damage leaves a line valid: that is part of it.

import { KIB } from '../limits.ts'
import type { Random } from './random.ts'

export const MALFORMED_LINE_BYTES_MAX = 128 * KIB

const LINE_END = 0x0a
const SPACE = 0x20
const NEST_DEPTH_MAX = 50_000
const NOISE_BYTES_MAX = 512

/** Values that break assumptions about numbers, text and time. */
const VALUES: readonly string[] = [
  '1e999',
  '-0',
  '99999999999999999999999999999999',
  '0.0000000000000000000000000001',
  '"9223372036854775808"',
  '"-9223372036854775808.000000001"',
  '"NaN"',
  '"1e5"',
  '"0x10"',
  '"+1"',
  '"1."',
  '".5"',
  '""',
  'null',
  'true',
  '[]',
  '{}',
  '"\\u0000"',
  '"\\ud800"',
  '"2262-04-11T23:47:16.854775808Z"',
  '"1969-12-31T23:59:59.999999999Z"',
  '"2024-02-30T00:00:00Z"',
]

type Damage = (line: Buffer, random: Random) => Buffer

export class MalformedLines {
  readonly #random: Random
  /** Gives a good line, without its end. */
  readonly #good: () => string

  constructor(random: Random, good: () => string) {
    this.#random = random
    this.#good = good
  }

  /** The next line, its end included. */
  next(): Buffer {
    const random = this.#random
    const damage = DAMAGES[random.below(DAMAGES.length)] as Damage
    const line = damage(Buffer.from(this.#good()), random).subarray(0, MALFORMED_LINE_BYTES_MAX - 1)
    for (let i = 0; i < line.length; i++) if (line[i] === LINE_END) line[i] = SPACE
    return Buffer.concat([line, Buffer.from([LINE_END])])
  }
}

const truncate: Damage = (line, random) => line.subarray(0, random.below(line.length))

const flipBits: Damage = (line, random) => {
  for (let flips = 1 + random.below(4); flips > 0; flips--) {
    const at = random.below(line.length)
    line[at] = (line[at] as number) ^ (1 << random.below(8))
  }
  return line
}

const repeatPart: Damage = (line, random) => {
  const start = random.below(line.length)
  const part = line.subarray(start, start + 1 + random.below(line.length - start))
  return Buffer.concat([line.subarray(0, start), part, part, line.subarray(start)])
}

const removePart: Damage = (line, random) => {
  const start = random.below(line.length)
  const end = start + 1 + random.below(line.length - start)
  return Buffer.concat([line.subarray(0, start), line.subarray(end)])
}

/** Another value for one member: a wrong type, a number out of range, a time that never was. */
const swapValue: Damage = (line, random) => {
  const text = line.toString()
  const members = [...text.matchAll(/"[a-z_]+":("[^"]*"|\[[^\]]*\]|[^,}]+)/g)]
  const member = members[random.below(members.length)]
  const value = VALUES[random.below(VALUES.length)] as string
  if (member === undefined) return line
  const [whole, old = ''] = member
  const valueAt = member.index + whole.length - old.length
  return Buffer.from(text.slice(0, valueAt) + value + text.slice(valueAt + old.length))
}

/** A member twice, with two values. */
const repeatMember: Damage = (line, random) => {
  const value = VALUES[random.below(VALUES.length)] as string
  return Buffer.from(line.toString().replace('{', `{"price":${value},"symbol":${value},`))
}

const nest: Damage = (_line, random) => {
  const depth = 1 + random.below(NEST_DEPTH_MAX)
  const [open, close] = random.below(2) === 0 ? ['[', ']'] : ['{"a":', '}']
  const isClosed = random.below(2) === 0
  return Buffer.from((open as string).repeat(depth) + (isClosed ? `1${close?.repeat(depth)}` : ''))
}

/** A member's text made very long. */
const lengthen: Damage = (line, random) => {
  const long = 'A'.repeat(1 + random.below(64 * KIB))
  return Buffer.from(line.toString().replace(/"symbol":"/, `"symbol":"${long}`))
}

const brokenUtf8: Damage = (line, random) => {
  const bad = [0xff, 0xc0, 0xed, 0xf8, 0x80]
  const at = random.below(line.length)
  line[at] = bad[random.below(bad.length)] as number
  return line
}

const noise: Damage = (_line, random) => {
  const bytes = Buffer.alloc(1 + random.below(NOISE_BYTES_MAX))
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256)
  return bytes
}

/** JSON, and no record. */
const otherJson: Damage = (_line, random) =>
  Buffer.from(VALUES[random.below(VALUES.length)] as string)

const DAMAGES: readonly Damage[] = [
  truncate,
  flipBits,
  repeatPart,
  removePart,
  swapValue,
  swapValue,
  swapValue,
  repeatMember,
  nest,
  lengthen,
  brokenUtf8,
  noise,
  otherJson,
]
