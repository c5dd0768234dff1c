// A listener beyond this machine is not open by accident.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'

const rejects = (...set: string[]): string => {
  try {
    loadConfig({ set })
  } catch (error) {
    return String(error)
  }
  return 'accepted'
}

t.test('loopback needs nothing', async (t) => {
  for (const host of ['127.0.0.1', '127.8.9.1', 'localhost', '::1']) {
    t.equal(rejects(`serve.listen.host=${host}`), 'accepted', host)
  }
})

t.test('any other address needs keys and TLS, or to say that it has none', async (t) => {
  const directory = t.testdir()
  const [cert, key] = ['a.crt', 'a.key'].map((name) => join(directory, name))
  for (const file of [cert, key]) writeFileSync(String(file), 'x')
  const tls = [`serve.tls.cert_file=${cert}`, `serve.tls.key_file=${key}`]
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'tickd.example', '127.0.0.1.example']) {
    const open = `serve.listen.host=${host}`
    t.match(rejects(open), /serve\.listen\.host: .*demand keys.* and give a certificate/, host)
    t.match(rejects(open, 'access.keys=true'), /give a certificate/)
    t.match(rejects(open, ...tls), /demand keys/)
    t.equal(rejects(open, ...tls, 'access.keys=true'), 'accepted')
    t.equal(rejects(open, 'serve.listen.insecure=true'), 'accepted')
  }
})

t.test('what has no keys off loopback must say so', async (t) => {
  t.match(rejects('admin.listen.host=0.0.0.0'), /admin\.listen\.host: .*no accounts/)
  t.equal(rejects('admin.listen={host: 0.0.0.0, insecure: true}'), 'accepted')
  t.match(rejects('sources.1.listen.host=0.0.0.0'), /sources\[1\]\.listen\.host: .*no keys/)
  t.equal(rejects('sources.1.listen={host: 0.0.0.0, port: 1, insecure: true}'), 'accepted')
})

t.test('files of TLS belong together and exist', async (t) => {
  t.match(rejects('serve.tls.cert_file=/nowhere'), /serve\.tls\.key_file: .*belong together/)
  const tls = 'serve.tls={cert_file: /nowhere, key_file: /nowhere}'
  t.match(rejects(tls), /serve\.tls\.cert_file: there is no file/)
})

t.test('JSON Web Tokens are of one issuer, for us', async (t) => {
  const url = 'access.jwt.jwks_url=https://issuer.example/keys'
  t.match(rejects(url), /access\.jwt\.issuer: .*issuer and an audience/)
  t.match(rejects(url, 'access.jwt.issuer=x'), /access\.jwt\.audience/)
  t.equal(rejects(url, 'access.jwt.issuer=x', 'access.jwt.audience=y'), 'accepted')
  t.match(rejects('access.jwt.jwks_url=http://issuer.example/keys'), /https/)
  t.match(rejects('access.jwt.jwks_file=/nowhere'), /there is no file/)
  t.match(rejects('access.jwt.algorithms=[HS256]'), /algorithms/)
  t.match(rejects('access.jwt.algorithms=[none]'), /algorithms/)
})
