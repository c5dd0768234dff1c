// The files of TLS, checked before the web server is given them: it would only say "no".

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { errorText, TickdError } from '../../errors.ts'

export interface TlsFiles {
  readonly cert_file: string
  readonly key_file: string
}

/** The last day of the leaf, as OpenSSL writes it. Throws ACCESS_INVALID. */
export function checkCertificate({ cert_file: certFile, key_file: keyFile }: TlsFiles): string {
  try {
    const leaf = new X509Certificate(readFileSync(certFile))
    const key = createPrivateKey(readFileSync(keyFile))
    if (!leaf.checkPrivateKey(key)) throw new Error('the key is not that of the certificate')
    return leaf.validTo
  } catch (cause) {
    const text = `serve.tls: ${certFile} with ${keyFile} cannot be used: ${errorText(cause)}`
    throw new TickdError('ACCESS_INVALID', text, { cause })
  }
}
