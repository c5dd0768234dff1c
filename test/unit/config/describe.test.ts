// docs/config.md is what the schema says, and says all of it.

import t from 'tap'
import { GENERATED, staleFiles } from '../../../scripts/generate.ts'
import { configPage } from '../../../src/config/describe.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { RESERVED_ENV } from '../../../src/config/overrides.ts'

t.test('the generated files on disk are up to date (npm run generate)', async (t) => {
  t.ok(GENERATED.some(({ path }) => path === 'docs/config.md'))
  t.same(staleFiles(), [])
})

t.test('every option of the default configuration is on the page, with its default', async (t) => {
  const page = configPage()
  const { sources, ...rest } = loadConfig().config
  for (const [name, value] of leaves(rest)) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` |`)) ?? ''
    if (Array.isArray(value)) {
      const shown = value.length === 0 ? '| none |' : `| \`[${value.join(', ')}]\` |`
      t.match(row, shown, `${name} has its default`)
    } else t.match(row, value === '' ? '| empty |' : `\`${value}\``, `${name} has its default`)
  }
  for (const source of sources) t.match(page, `### type: ${source.type}`)
})

t.test('no option is without a sentence', async (t) => {
  for (const line of configPage().split('\n')) {
    if (!line.startsWith('| `')) continue
    t.match(line, /\| [^|]*[a-zA-Z][^|]*\.+ \|$/, line)
  }
})

t.test('the names of the environment that are no options are on the page', async (t) => {
  for (const name of Object.keys(RESERVED_ENV)) t.match(configPage(), name)
})

function leaves(value: object, path: string[] = []): [string, unknown][] {
  return Object.entries(value).flatMap(([key, member]): [string, unknown][] =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? leaves(member, [...path, key])
      : [[[...path, key].join('.'), member]],
  )
}
