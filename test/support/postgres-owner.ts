// A process that starts the embedded PostgreSQL of a directory, prints its pid, and lives on: to be
// killed by a test.

import { silentLog } from '../../src/ops/log.ts'
import { EmbeddedPostgres } from '../../src/storage/postgres/embedded.ts'

const directory = process.argv[2] as string
const settings = ['fsync=off']
const server = await EmbeddedPostgres.start({ directory, port: 0, log: silentLog, settings })
process.stdout.write(String(server.pid))
setInterval(() => {}, 1000)
