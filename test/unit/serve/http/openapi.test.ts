import t from 'tap'
import { OPENAPI } from '../../../../src/serve/http/openapi.ts'
import { routes } from '../../../../src/serve/http/routes.ts'

t.test('the document and the route table name the same operations', (t) => {
  // Handlers are made but not called: the dependencies are never touched.
  const table = routes({} as Parameters<typeof routes>[0])
  const documented = Object.entries(OPENAPI.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  t.same(documented.sort(), table.map(({ method, path }) => `${method} ${path}`).sort())
  t.end()
})

t.test('every reference leads somewhere', (t) => {
  const names = Object.keys(OPENAPI.components.schemas)
  const references = [
    ...JSON.stringify(OPENAPI).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g),
  ]
  t.ok(references.length > 10)
  for (const [, name = ''] of references) t.ok(names.includes(name), name)
  t.end()
})
