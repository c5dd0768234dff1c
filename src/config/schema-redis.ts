// The part of the schema that says where Redis is, and how latest values get there.

import { z } from 'zod'
import { hostname, int } from './schema-parts.ts'

const redisNodes = (port: number) =>
  z
    .array(
      z.strictObject({
        host: hostname.describe('Name or address.'),
        port: int(1, 65535).default(port).describe('TCP port.'),
      }),
    )
    .max(32)
    .default([])

export const redis = z
  .strictObject({
    mode: z
      .enum(['auto', 'embedded', 'external', 'off'])
      .default('auto')
      .describe('auto = a private server where a redis-server binary is there, otherwise off.'),
    url: z.string().default('').describe('external: redis://host:port/db, or unix:///path.'),
    sentinels: redisNodes(26_379).describe('external: sentinels that know the master.'),
    sentinel_name: z.string().max(255).default('').describe('Name that sentinels know it by.'),
    sentinel_password_file: z.string().default('').describe('File with the sentinels’ password.'),
    cluster: redisNodes(6379).describe('external: some nodes of a cluster; they name the others.'),
    username: z.string().max(255).default('').describe('ACL user, with sentinels or a cluster.'),
    password_file: z.string().default('').describe('File with the password (external).'),
    tls: z
      .boolean()
      .default(false)
      .describe('TLS to sentinels, masters and cluster nodes; a url says rediss:// instead.'),
    tls_ca_file: z.string().default('').describe('PEM file of the authority; empty = Node’s own.'),
    timeout_ms: int(50, 600_000)
      .default(5000)
      .describe('Wait for a connection, and for the next byte of an answer.'),
    prefix: z.string().max(64).default('tickd:').describe('Prefix of all keys.'),
    flush_ms: int(1, 60_000).default(100).describe('Latest values are written this often.'),
    stream_entries_max: int(0, 10_000_000)
      .default(100_000)
      .describe('Cap of the stream of latest values; 0 = no stream.'),
  })
  .prefault({})
