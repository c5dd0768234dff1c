// tickd key: API keys of the feed and HTTP. A key is printed once, when it is made; the file has
// its hash. A running daemon takes the file anew within a second.

import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { resolveStateDir } from '../config/state-dir.ts'
import { TickdError } from '../errors.ts'
import { type Grant, type HolderLimits, READ_ALL, readGrant } from '../serve/access/grant.ts'
import {
  type ApiKey,
  changeKeyFile,
  generateKey,
  hashKey,
  isKeyName,
  readKeyFile,
} from '../serve/access/key-file.ts'
import { addConfigOptions, type ConfigOptions, loadFromOptions } from './config-options.ts'

const MS_OF: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const STATE_MODE = 0o750

interface KeyOptions extends ConfigOptions {
  readonly json?: true
}

interface CreateOptions extends KeyOptions {
  readonly name: string
  readonly expires?: string
  readonly channels?: string
  readonly symbols?: string
  readonly replay?: string
  readonly push?: true
  readonly operate?: true
  readonly connections?: string
  readonly subscriptions?: string
  readonly messagesPerSecond?: string
  readonly bytesPerSecond?: string
}

export function keyCommand(): Command {
  const key = new Command('key').description('API keys: who may use the feed and HTTP.')
  key.addHelpText('after', '\nThey are demanded with access.keys: true. See docs/access.md.')
  for (const command of [createCommand(), listCommand(), revokeCommand()]) {
    key.addCommand(addConfigOptions(command).option('--json', 'print one JSON object'))
  }
  return key
}

function createCommand(): Command {
  return new Command('create')
    .description('Make a key and print it, this once. By default it may read everything.')
    .requiredOption('--name <name>', 'who it is for: letters, digits, . _ @ -; unique')
    .option('--expires <when>', '12h, 90d, or RFC 3339 UTC (default: never)')
    .option('--channels <list>', 'trades,quotes,bars.* (default: *)')
    .option('--symbols <list>', 'BTC-USDT,binance:*,ETH-* (default: *)')
    .option('--replay <time>', 'how far back it may go: 0, 10m, 7d (default: as far as there is)')
    .option('--push', 'it may push ticks')
    .option('--operate', 'it may read the ledger, incidents and metrics')
    .option('--connections <n>', 'feed connections at once (default: access.limits)')
    .option('--subscriptions <n>', 'subscriptions of all of them')
    .option('--messages-per-second <n>', 'control messages and HTTP requests')
    .option('--bytes-per-second <n>', 'bytes sent and taken')
    .action((options: CreateOptions) => create(options))
}

function listCommand(): Command {
  return new Command('list')
    .description('The keys, without their secrets.')
    .action((options: KeyOptions) => list(options))
}

function revokeCommand(): Command {
  return new Command('revoke')
    .description('Revoke a key: its connections are closed within a second or two.')
    .argument('<key>', 'its id, or its name')
    .action((key: string, options: KeyOptions) => revoke(key, options))
}

function create(options: CreateOptions): void {
  const { name } = options
  if (!isKeyName(name)) throw usage('--name: at most 64 letters, digits and . _ @ -')
  const file = keyFileOf(options)
  const nowMs = Date.now()
  const expires = options.expires === undefined ? null : expiry(options.expires, nowMs)
  const grant = grantOf(options)
  const { id, key } = generateKey()
  const fresh: ApiKey = {
    id,
    name,
    hash: hashKey(key).toString('hex'),
    created: new Date(nowMs).toISOString(),
    expires,
    revoked: null,
    grant,
  }
  mkdirSync(path.dirname(file), { recursive: true, mode: STATE_MODE })
  changeKeyFile(file, (keys) => {
    const other = keys.find((known) => known.name === name && known.revoked === null)
    if (other !== undefined)
      throw usage(`--name ${name}: key ${other.id} has it; revoke that first`)
    return [...keys, fresh]
  })
  if (options.json) print({ key, ...shown(fresh) })
  else {
    process.stderr.write('This is the only time it is shown:\n')
    process.stdout.write(`${key}\n`)
  }
}

function list(options: KeyOptions): void {
  const keys = readKeyFile(keyFileOf(options)).map(shown)
  if (options.json) {
    print({ keys })
    return
  }
  for (const { id, name, created, expires, revoked, grant } of keys) {
    const state = revoked !== null ? `revoked ${revoked}` : expiryText(expires)
    const rights = [
      `channels ${grant.channels.join(',') || 'none'}`,
      `symbols ${grant.symbols.join(',') || 'none'}`,
      ...(grant.replay_ms === null ? [] : [`replay ${grant.replay_ms} ms`]),
      ...(grant.push ? ['push'] : []),
      ...(grant.operate ? ['operate'] : []),
      ...Object.entries(grant.limits).map(([limit, value]) => `${limit} ${value}`),
    ].join('; ')
    process.stdout.write(`${id}  ${name}  created ${created}  ${state}  ${rights}\n`)
  }
}

function expiryText(expires: string | null): string {
  if (expires === null) return 'never expires'
  return Date.parse(expires) <= Date.now() ? `expired ${expires}` : `expires ${expires}`
}

function revoke(named: string, options: KeyOptions): void {
  const revoked = new Date().toISOString()
  let found: ApiKey | undefined
  changeKeyFile(keyFileOf(options), (keys) => {
    found = keys.find((key) => key.revoked === null && (key.id === named || key.name === named))
    if (found === undefined) throw usage(`no key that is in force is called ${named}`)
    const { id } = found
    return keys.map((key) => (key.id === id ? { ...key, revoked } : key))
  })
  if (found === undefined) return
  if (options.json) print(shown({ ...found, revoked }))
  else process.stdout.write(`revoked ${found.id} ${found.name}\n`)
}

function keyFileOf(options: ConfigOptions): string {
  const { config } = loadFromOptions(options)
  const { keys_file: file } = config.access
  return file === '' ? path.join(resolveStateDir(config), 'keys.json') : file
}

function grantOf(options: CreateOptions): Grant {
  const limits: { -readonly [Name in keyof HolderLimits]?: number } = {}
  if (options.connections !== undefined) limits.connections = Number(options.connections)
  if (options.subscriptions !== undefined) limits.subscriptions = Number(options.subscriptions)
  const { messagesPerSecond, bytesPerSecond } = options
  if (messagesPerSecond !== undefined) limits.messages_per_second = Number(messagesPerSecond)
  if (bytesPerSecond !== undefined) limits.bytes_per_second = Number(bytesPerSecond)
  const grant = readGrant({
    channels: listOf(options.channels) ?? READ_ALL.channels,
    symbols: listOf(options.symbols) ?? READ_ALL.symbols,
    replay_ms: options.replay === undefined ? null : span(options.replay, '--replay'),
    push: options.push ?? false,
    operate: options.operate ?? false,
    limits,
  })
  if (typeof grant === 'string') throw usage(grant)
  return grant
}

function listOf(text: string | undefined): string[] | undefined {
  return text?.split(',').map((name) => name.trim())
}

function expiry(text: string, nowMs: number): string {
  const atMs = /^\d+[smhd]$/.test(text) ? nowMs + span(text, '--expires') : Date.parse(text)
  const isTime = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) || /^\d+[smhd]$/.test(text)
  if (!isTime || !(atMs > nowMs)) throw usage(`--expires ${text}: 12h, 90d, or a UTC time to come`)
  return new Date(atMs).toISOString()
}

function span(text: string, option: string): number {
  const [, count, unit = 's'] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? []
  if (count === undefined) throw usage(`${option} ${text}: give 30s, 10m, 12h or 7d`)
  return Number(count) * (MS_OF[unit] as number)
}

function shown({ hash: _, ...rest }: ApiKey): Omit<ApiKey, 'hash'> {
  return rest
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function usage(message: string): TickdError {
  return new TickdError('USAGE', message)
}
