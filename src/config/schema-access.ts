// The part of the schema that says who may connect to the feed and HTTP, and how much each may ask.

import { z } from 'zod'
import { KIB, MIB } from '../limits.ts'
import { int } from './schema-parts.ts'

const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'] as const
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512'] as const

const jwt = z
  .strictObject({
    jwks_file: z.string().default('').describe('JWKS file with public keys; read anew on change.'),
    jwks_url: z
      .string()
      .regex(/^(https:\/\/.+)?$/, 'must be an https:// address')
      .default('')
      .describe('JWKS address, instead of a file. Both empty = no JSON Web Tokens.'),
    issuer: z.string().max(255).default('').describe('`iss` that tokens must have.'),
    audience: z.string().max(255).default('').describe('`aud` that tokens must have.'),
    algorithms: z
      .array(z.enum([...ALGORITHMS, ...RSA_ALGORITHMS]))
      .min(1)
      .default(['EdDSA', 'ES256', 'RS256'])
      .describe('Signatures that are taken. Shared secrets (HS…) and none never are.'),
    claim: z
      .string()
      .min(1)
      .max(255)
      .default('tickd')
      .describe('Claim with the rights, an object; a token without it may do nothing.'),
    leeway_ms: int(0, 600_000).default(5000).describe('How wrong the issuer’s clock may be.'),
  })
  .prefault({})

const limits = z
  .strictObject({
    connections: int(1, 1_000_000).default(64).describe('Feed connections at once.'),
    subscriptions: int(1, 1_000_000).default(1024).describe('Subscriptions of all of them.'),
    messages_per_second: int(1, 100_000)
      .default(200)
      .describe('Control messages and HTTP requests; ten seconds of them at once.'),
    bytes_per_second: int(KIB, 2 ** 40)
      .default(128 * MIB)
      .describe('Bytes sent and taken; beyond it a feed reads too slowly, and HTTP says 429.'),
  })
  .prefault({})

export const access = z
  .strictObject({
    keys: z.boolean().default(false).describe('Demand an API key, as `tickd key create` makes it.'),
    keys_file: z
      .string()
      .default('')
      .describe('File of API keys, hashed; read anew on change. Empty = keys.json in state_dir.'),
    jwt: jwt.describe('JSON Web Tokens, taken beside API keys.'),
    metrics_open: z
      .boolean()
      .default(true)
      .describe('GET /metrics without a key, as Prometheus expects; false = with `operate`.'),
    token_in_query: z
      .boolean()
      .default(false)
      .describe('Take `?token=` too. Addresses are logged by proxies: prefer the header.'),
    auth_ms: int(100, 60_000)
      .default(5000)
      .describe('A feed connection without a token must send one within this time.'),
    origins: z
      .array(z.string().regex(/^(\*|https?:\/\/[^/]+)$/, 'must be https://host:port, or *'))
      .max(100)
      .default([])
      .describe('Origins of web pages that may connect and read, beside our own. * = any.'),
    connections_max: int(1, 1_000_000)
      .default(20_000)
      .describe('Connections of any kind; more are closed at once.'),
    address_connects_per_second: int(1, 100_000)
      .default(50)
      .describe('New connections of one address, ten seconds of them at once; not of loopback.'),
    address_subscribers_max: int(1, 1_000_000)
      .default(1024)
      .describe('Feed connections of one address; not of loopback.'),
    limits: limits.describe('Of one key or token subject, where it has none of its own.'),
    audit_bytes_max: int(64 * KIB, 2 ** 40)
      .default(16 * MIB)
      .describe('Disk budget of audit.jsonl, which has decisions on access; the oldest half goes.'),
  })
  .prefault({})
