// The planted bug of two transactions where there must be one: rows first, then their position.

import type { Client, Submittable } from 'pg'
import type { connect } from '../../src/storage/postgres/connection.ts'

const ADVANCE = /;\n(CALL \S+\.advance\(.*?\));\nCOMMIT$/

/** A connection that commits the position after the rows. */
export function splitCommit(open: typeof connect): typeof connect {
  return async (options) => {
    const connection = await open(options)
    const { client } = connection
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    const altered = (request: string | Submittable, ...rest: unknown[]) => {
      if (typeof request !== 'string') alterSubmit(request)
      return query(request, ...rest)
    }
    return { ...connection, client: { query: altered } as unknown as Client }
  }
}

function alterSubmit(request: Submittable): void {
  const submit = request.submit.bind(request)
  request.submit = (connection) => {
    const { stream } = connection
    const query = (text: string) => connection.query(text.replace(ADVANCE, ';\nCOMMIT;\n$1'))
    submit({ query, stream } as unknown as typeof connection)
  }
}
