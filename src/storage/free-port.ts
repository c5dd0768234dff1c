// A TCP port that nobody listens on at this moment.

import { createServer } from 'node:net'

/** `preferred` when it is free, else any. */
export async function freePort(host: string, preferred = 0): Promise<number> {
  const server = createServer()
  try {
    return await new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen(preferred, host, () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  } catch (thrown) {
    if (preferred !== 0) return await freePort(host)
    throw thrown
  } finally {
    server.close()
  }
}
