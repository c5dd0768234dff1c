// The schema as a tree of plain nodes: what an option allows, said in words.
//
// For messages and docs/config.md only; zod alone decides what is valid. The tree is zod's own JSON
// Schema of what may be written in a file, made when it is first asked for.

import { z } from 'zod'
import { configSchema } from './schema.ts'

/** The part of JSON Schema that zod writes for our schema. */
export interface SchemaNode {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | SchemaNode
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
  readonly oneOf?: readonly SchemaNode[]
}

export type Path = readonly (string | number)[]

let root: SchemaNode | undefined

export function schemaRoot(): SchemaNode {
  root ??= z.toJSONSchema(configSchema, { io: 'input' }) as SchemaNode
  return root
}

/**
 * The node that rules `path` in the given configuration, which decides between the kinds of a
 * union: a source's keys depend on its type. Undefined for an unknown option.
 */
export function nodeAt(path: Path, given: unknown): SchemaNode | undefined {
  let node: SchemaNode | undefined = schemaRoot()
  let value = given
  for (const step of path) {
    node = child(chosen(node, value), step)
    if (node === undefined) return undefined
    value = valueAt(value, step)
  }
  return chosen(node, value)
}

export function valueAt(value: unknown, step: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
  return (value as Record<string | number, unknown>)[step]
}

function child(node: SchemaNode, step: string | number): SchemaNode | undefined {
  if (node.properties !== undefined && Object.hasOwn(node.properties, step)) {
    return node.properties[step]
  }
  if (node.items !== undefined) return node.items
  return typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined
}

/** Of a union, the member that `value` is meant to be; the union itself where that is open. */
function chosen(node: SchemaNode, value: unknown): SchemaNode {
  const type = valueAt(value, 'type')
  const byType = node.oneOf?.find((member) => member.properties?.type?.const === type)
  if (byType !== undefined) return byType
  if (typeof value !== 'object' || value === null) return node
  return node.anyOf?.find((member) => member.type === 'object') ?? node
}

/** What an option takes, as the end of a sentence: "an integer from 0 to 65535". */
export function allowedText(node: SchemaNode): string {
  if (node.const !== undefined) return String(node.const)
  if (node.enum !== undefined) return `one of ${node.enum.join(', ')}`
  const members = node.anyOf ?? node.oneOf
  if (members !== undefined) return [...new Set(members.map(allowedText))].join(', or ')
  switch (node.type) {
    case 'integer':
      return `an integer${boundsText(node, ' ')}`
    case 'number':
      return `a number${boundsText(node, ' ')}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return `a list${itemsText(node)}`
    case 'object':
      return 'a mapping'
    default:
      return `text${lengthText(node)}`
  }
}

/** " from 0 to 65535", or nothing. */
export function boundsText(node: SchemaNode, before = ''): string {
  const { minimum, maximum, exclusiveMinimum } = node
  if (exclusiveMinimum !== undefined) return `${before}above ${exclusiveMinimum}${upTo(maximum)}`
  if (minimum === undefined) return maximum === undefined ? '' : `${before}up to ${maximum}`
  return `${before}from ${minimum}${upTo(maximum)}`
}

function upTo(maximum: number | undefined): string {
  return maximum === undefined ? '' : ` to ${maximum}`
}

export function itemsText(node: SchemaNode): string {
  const { minItems, maxItems } = node
  if (maxItems !== undefined) return ` of ${minItems ?? 0} to ${maxItems}`
  return minItems === undefined ? '' : ` of at least ${minItems}`
}

export function lengthText(node: SchemaNode): string {
  if (node.maxLength === undefined) return node.minLength === undefined ? '' : ', not empty'
  return ` of ${node.minLength ?? 0} to ${node.maxLength} characters`
}
