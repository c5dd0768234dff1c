// What keeps a listener from being open by accident: beyond this machine it has keys and TLS, or
// says in so many words that it has not.

import { existsSync } from 'node:fs'
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/

export function accessProblems(config: Config): Problem[] {
  return [...tlsProblems(config), ...tokenProblems(config), ...openProblems(config)]
}

function tlsProblems({ serve }: Config): Problem[] {
  const { cert_file: certFile, key_file: keyFile } = serve.tls
  if ((certFile === '') !== (keyFile === '')) {
    const path = ['serve', 'tls', certFile === '' ? 'cert_file' : 'key_file']
    return [{ path, text: 'cert_file and key_file belong together' }]
  }
  return (['cert_file', 'key_file'] as const).flatMap((option) => {
    const file = serve.tls[option]
    if (file === '' || existsSync(file)) return []
    return [{ path: ['serve', 'tls', option], text: `there is no file ${file}` }]
  })
}

function tokenProblems({ access }: Config): Problem[] {
  const problems: Problem[] = []
  const { jwks_file: file, jwks_url: url, issuer, audience } = access.jwt
  if (file !== '' && url !== '') {
    problems.push({ path: ['access', 'jwt', 'jwks_url'], text: 'jwks_file is given too: give one' })
  }
  if (file !== '' && !existsSync(file)) {
    problems.push({ path: ['access', 'jwt', 'jwks_file'], text: `there is no file ${file}` })
  }
  if (file === '' && url === '') return problems
  // Without them, whatever else the issuer signs for anybody would open this door.
  if (issuer === '' || audience === '') {
    const path = ['access', 'jwt', issuer === '' ? 'issuer' : 'audience']
    problems.push({ path, text: 'JSON Web Tokens need an issuer and an audience' })
  }
  return problems
}

function openProblems(config: Config): Problem[] {
  const { serve, admin, access, sources } = config
  const problems: Problem[] = []
  const isKeyed = access.keys || access.jwt.jwks_file !== '' || access.jwt.jwks_url !== ''
  const isSafe = isKeyed && serve.tls.cert_file !== ''
  const reached = (host: string) => `${host} can be reached from other machines: `
  if (isOpen(serve.listen) && !isSafe) {
    const missing = [
      ...(isKeyed ? [] : ['demand keys (access.keys: true, or access.jwt)']),
      ...(serve.tls.cert_file === '' ? ['give a certificate (serve.tls)'] : []),
    ].join(' and ')
    const text = `${reached(serve.listen.host)}${missing}, or say serve.listen.insecure: true`
    problems.push({ path: ['serve', 'listen', 'host'], text })
  }
  if (admin.enabled && isOpen(admin.listen)) {
    const advice = 'it has no accounts; keep it on loopback, or say admin.listen.insecure: true'
    problems.push({ path: ['admin', 'listen', 'host'], text: reached(admin.listen.host) + advice })
  }
  for (const [index, source] of sources.entries()) {
    if (source.type !== 'tcp' || !isOpen(source.listen)) continue
    const advice = 'TCP push has no keys; POST /v1/ticks has. Or say listen.insecure: true'
    const text = reached(source.listen.host) + advice
    problems.push({ path: ['sources', index, 'listen', 'host'], text })
  }
  return problems
}

function isOpen({ host, insecure }: { host: string; insecure: boolean }): boolean {
  return !insecure && !LOOPBACK.test(host)
}
