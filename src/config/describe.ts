// docs/config.md, written from the schema: every option with its type, unit, default and bounds.
//
// `npm run generate` writes the file; a test compares. Nothing about options is said by hand.

import { KIB, MIB } from '../limits.ts'
import { RESERVED_ENV } from './overrides.ts'
import {
  boundsText,
  itemsText,
  lengthText,
  type Path,
  type SchemaNode,
  schemaRoot,
} from './schema-node.ts'

/** The names of options end in their unit, or in the unit and _max. */
const BYTES_NAME = /(^|_)bytes(_max)?$/
const MS_NAME = /_ms$/

const HEAD = `# Configuration

<!-- Generated from src/config/schema.ts by \`npm run generate\`. Do not edit. -->

One YAML file, given with \`--config FILE\`. Without one, every option has the default below.
Unknown options are errors; \`tickd check-config --config FILE\` prints all errors with their paths,
and \`--json\` the configuration in effect. Relative paths start at the working directory.

Laid over the file, in this order:

1. \`TICKD_…\` in the environment: \`TICKD_SERVE__LISTEN__PORT=9000\` sets \`serve.listen.port\`.
2. \`--set serve.listen.port=9000\` on the command line.

A member of a list is named by its index or its name: \`--set sources.synthetic.rate=5000\`,
\`TICKD_SOURCES__PUSH_HTTP__SHARD=1\`. A value is YAML, so a list is \`[a, b]\`.

Other names that begin with \`TICKD_\` are errors, but for these, which are no options:

`

/** The whole page. */
export function configPage(): string {
  const root = schemaRoot()
  const groups = Object.entries(root.properties ?? {})
  const plain = groups.filter(([name, node]) => name !== 'sources' && !isGroup(node))
  const sources = root.properties?.sources?.items?.oneOf ?? []
  const sections = [
    HEAD +
      table(
        ['name', 'meaning'],
        Object.entries(RESERVED_ENV).map(([n, t]) => [`\`${n}\``, t]),
      ),
    `## Top level\n\n${optionTable(plain.flatMap(([name, node]) => optionRows([name], node)))}`,
    sourcesHead(root.properties?.sources),
    ...sources.map(sourceSection),
    ...groups.filter(([, node]) => isGroup(node)).map(([name, node]) => groupSection(name, node)),
  ]
  return `${sections.join('\n')}`
}

function isGroup(node: SchemaNode): boolean {
  return node.properties !== undefined
}

function sourcesHead(node: SchemaNode | undefined): string {
  const defaults = (node?.default ?? []) as { name: string; type: string }[]
  const names = defaults.map(({ name, type }) => `\`${name}\` (${type})`).join(', ')
  const text = `${node?.description} A list; each member has a \`type\`. Default: ${names}.`
  return `## sources\n\n${text}\n`
}

function sourceSection(node: SchemaNode): string {
  const type = node.properties?.type
  const rows = groupRows([], node, node.required ?? []).filter(([name]) => name !== '`type`')
  return `### type: ${type?.const}\n\n${type?.description}\n\n${optionTable(rows)}`
}

function groupSection(name: string, node: SchemaNode): string {
  return `## ${name}\n\n${node.description}\n\n${optionTable(groupRows([name], node, []))}`
}

function groupRows(path: Path, node: SchemaNode, required: readonly string[]): string[][] {
  return Object.entries(node.properties ?? {}).flatMap(([name, member]) =>
    optionRows([...path, name], member, required.includes(name)),
  )
}

function optionRows(path: Path, node: SchemaNode, isRequired = false): string[][] {
  if (isGroup(node)) return groupRows(path, node, [])
  const { items } = node
  // Of a list of mappings, each key has a row of its own.
  const members =
    items?.properties === undefined ? [] : groupRows([...path, 'N'], items, items.required ?? [])
  const standard = isRequired ? 'required' : defaultText(String(path.at(-1)), node.default)
  return [
    [
      `\`${path.join('.')}\``,
      typeText(node) + unitText(path),
      standard,
      limitsText(node),
      node.description ?? '',
    ],
    ...members,
  ]
}

function optionTable(rows: readonly string[][]): string {
  return table(['option', 'type', 'default', 'allowed', 'meaning'], rows)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}

function typeText(node: SchemaNode): string {
  const members = node.anyOf ?? node.oneOf
  if (members !== undefined) return [...new Set(members.map(typeText))].join(' or ')
  if (node.type === 'array')
    return `list of ${node.items === undefined ? 'any' : typeText(node.items)}`
  if (node.type === 'object') return 'mapping'
  if (node.enum !== undefined || node.const !== undefined) return 'word'
  return node.type === 'string' ? 'text' : (node.type ?? 'any')
}

function unitText(path: Path): string {
  const name = String(path.at(-1))
  return BYTES_NAME.test(name) ? ', bytes' : MS_NAME.test(name) ? ', ms' : ''
}

function limitsText(node: SchemaNode): string {
  if (node.const !== undefined) return `\`${node.const}\``
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ')
  const members = node.anyOf ?? node.oneOf
  if (members !== undefined) {
    const texts = members.map(limitsText).filter((text) => text !== '')
    return [...new Set(texts)].join('; ')
  }
  if (node.type === 'array') {
    const items = node.items === undefined ? '' : limitsText(node.items)
    const count = itemsText(node).replace(/^ of /, '')
    return [count === '' ? '' : `${count} of them`, items].filter((text) => text !== '').join('; ')
  }
  if (node.pattern !== undefined) return `\`${node.pattern.replaceAll('\\/', '/')}\``
  if (node.type === 'string') return lengthText(node).replace(/^( of |, )/, '')
  if (node.type === 'object') return ''
  return boundsText(node)
}

/** A default with its unit: the name of an option ends in it. */
function defaultText(name: string, value: unknown): string {
  if (value === undefined) return 'required'
  if (value === '') return 'empty'
  if (Array.isArray(value)) return value.length === 0 ? 'none' : `\`[${value.join(', ')}]\``
  if (typeof value !== 'number') return `\`${value}\``
  if (BYTES_NAME.test(name)) return withWords(value, bytesText(value))
  if (MS_NAME.test(name)) return withWords(value, durationText(value))
  return `\`${value}\``
}

function withWords(value: number, words: string): string {
  return words === '' ? `\`${value}\`` : `\`${value}\` (${words})`
}

function bytesText(value: number): string {
  if (value >= 1024 * MIB && value % (1024 * MIB) === 0) return `${value / (1024 * MIB)} GiB`
  if (value >= MIB && value % MIB === 0) return `${value / MIB} MiB`
  return value >= KIB && value % KIB === 0 ? `${value / KIB} KiB` : ''
}

function durationText(value: number): string {
  if (value >= 3_600_000 && value % 3_600_000 === 0) return `${value / 3_600_000} h`
  if (value >= 60_000 && value % 60_000 === 0) return `${value / 60_000} min`
  return value >= 1000 && value % 1000 === 0 ? `${value / 1000} s` : ''
}
