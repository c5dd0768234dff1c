// Loading: order of precedence, strictness, and messages that let a person mend all at once.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts'
import { TickdError } from '../../../src/errors.ts'

function file(t: Test, yaml: string): string {
  const path = join(t.testdir(), 'tickd.yaml')
  writeFileSync(path, yaml)
  return path
}

/** The lines of errors; fails the test when the configuration is accepted. */
function errorsOf(t: Test, options: LoadOptions): string[] {
  try {
    loadConfig(options)
  } catch (error) {
    if (!(error instanceof TickdError)) throw error
    t.equal(error.code, 'CONFIG_INVALID')
    const [head, ...lines] = error.message.split('\n')
    const count = lines.length === 1 ? '1 error:' : `${lines.length} errors:`
    if (lines.length > 0) t.match(head, count, 'the head says how many')
    return lines.length > 0 ? lines.map((line) => line.trim()) : [error.message]
  }
  t.fail('the configuration was accepted')
  return []
}

t.test('without anything given, the defaults', async (t) => {
  const { config, origin } = loadConfig()
  t.equal(config.serve.listen.port, 8080)
  t.same(
    config.sources.map((source) => source.type),
    ['synthetic', 'tcp', 'tcp', 'http'],
  )
  t.equal(origin.size, 0)
})

t.test('an empty file and a file of comments are the defaults', async (t) => {
  t.same(loadConfig({ file: file(t, '') }).config, loadConfig().config)
  t.same(loadConfig({ file: file(t, '# nothing\n') }).config, loadConfig().config)
})

t.test('--set wins over the environment, which wins over the file', async (t) => {
  const path = file(t, 'shards: 2\ndrain_ms: 1000\nserve:\n  flush_ms: 1\n')
  const env = { TICKD_SERVE__FLUSH_MS: '2', TICKD_DRAIN_MS: '2000' }
  const { config, origin } = loadConfig({ file: path, env, set: ['serve.flush_ms=3'] })
  t.equal(config.shards, 2)
  t.equal(config.drain_ms, 2000)
  t.equal(config.serve.flush_ms, 3)
  t.equal(origin.get('shards'), 'tickd.yaml line 1')
  t.equal(origin.get('drain_ms'), 'TICKD_DRAIN_MS')
  t.equal(origin.get('serve.flush_ms'), '--set serve.flush_ms')
})

t.test('the environment is taken only when it is given', async (t) => {
  process.env.TICKD_SHARDS = '5'
  t.teardown(() => {
    delete process.env.TICKD_SHARDS
  })
  t.equal(loadConfig().config.shards, 1)
  t.equal(loadConfig({ env: process.env }).config.shards, 5)
})

t.test('a default source is refined by index or by name', async (t) => {
  const port = (options: LoadOptions) => {
    const source = loadConfig(options).config.sources[1]
    return source?.type === 'tcp' ? source.listen.port : undefined
  }
  t.equal(port({ set: ['sources.1.listen.port=9'] }), 9)
  t.equal(port({ set: ['sources[1].listen.port=9'] }), 9)
  t.equal(port({ set: ['sources.push-ndjson.listen.port=9'] }), 9)
  t.equal(port({ env: { TICKD_SOURCES__PUSH_NDJSON__LISTEN__PORT: '9' } }), 9)
  t.equal(loadConfig({ set: ['sources.0.rate=7'] }).config.sources.length, 4)
})

t.test('a refined default is not the default of the next load', async (t) => {
  loadConfig({ set: ['sources.0.name=other'] })
  t.equal(loadConfig().config.sources[0]?.name, 'synthetic')
})

t.test('an option that takes text takes it as it stands', async (t) => {
  const { config } = loadConfig({ set: ['redis.prefix=12: #x', 'state_dir='] })
  t.equal(config.redis.prefix, '12: #x')
  t.equal(config.state_dir, '')
})

t.test('lists and mappings can be set as YAML', async (t) => {
  const { config } = loadConfig({
    set: [
      'sources=[{name: a, type: replay, venue: v, paths: [x, y]}]',
      'threads={one: [source, decode, journal, aggregate], two: [postgres, redis, serve]}',
    ],
  })
  t.match(config.sources, [{ name: 'a', paths: ['x', 'y'], speed: 'max' }])
  t.same(Object.keys(config.threads as object), ['one', 'two'])
})

t.test('a group can be refined after it was given whole', async (t) => {
  const env = { TICKD_SERVE: '{flush_ms: 4, frame_ticks: 8}', TICKD_SERVE__FLUSH_MS: '5' }
  const { config } = loadConfig({ env })
  t.equal(config.serve.flush_ms, 5)
  t.equal(config.serve.frame_ticks, 8)
})

t.test('every error is listed, with path, what was given, what is allowed and where', async (t) => {
  const path = file(
    t,
    [
      'serve:',
      '  listen:',
      '    prot: 5',
      '    port: 99999',
      'sources:',
      '  - type: tcp',
      '    nme: x',
      '  - {name: X, type: http}',
      '  - {name: y, type: foo}',
      'log: {level: loud}',
    ].join('\n'),
  )
  const env = { TICKD_SHARDS: 'many', TICKD_SEDE: '1' }
  t.same(errorsOf(t, { file: path, env, set: ['serve.flush_ms=9999'] }).sort(), [
    'log.level: must be one of debug, info, warn, error; given is "loud" (tickd.yaml line 10)',
    'sede: unknown option; did you mean TICKD_SEED? (TICKD_SEDE)',
    'serve.flush_ms: must be an integer from 0 to 1000; given is 9999 (--set serve.flush_ms)',
    'serve.listen.port: must be an integer from 0 to 65535; given is 99999 (tickd.yaml line 4)',
    'serve.listen.prot: unknown option; did you mean port? (tickd.yaml line 3)',
    'shards: must be an integer from 1 to 64; given is "many" (TICKD_SHARDS)',
    'sources[0].name: is missing; must be text (tickd.yaml line 6)',
    'sources[0].nme: unknown option; did you mean name? (tickd.yaml line 7)',
    'sources[1].name: must be a-z, 0-9 and -, at most 32, beginning with a letter; ' +
      'given is "X" (tickd.yaml line 8)',
    `sources[2].type: must be one of ${loadableTypes().join(', ')}; ` +
      'given is "foo" (tickd.yaml line 9)',
  ])
})

/** The types of sources, as the message for a source without one lists them. */
function loadableTypes(): string[] {
  try {
    loadConfig({ set: ['sources=[{name: a}]'] })
  } catch (error) {
    return /must be one of ([^;(]+)/.exec(String(error))?.[1]?.trim().split(', ') ?? []
  }
  return []
}

t.test('a bad name or role of a thread is found in its place', async (t) => {
  t.same(errorsOf(t, { set: ['threads={One: [source]}'] }), [
    'threads.One: the name must match /^[a-z][a-z0-9-]{0,15}$/ (--set threads)',
  ])
  t.match(errorsOf(t, { set: ['threads={one: [sauce]}'] }), [/^threads\.one\[0\]: must be one of/])
  t.match(errorsOf(t, { set: ['threads=fast'] }), [/^threads: must be one of auto, compact/])
})

t.test('duplicate keys and broken YAML are errors with their line', async (t) => {
  const duplicate = file(t, 'shards: 1\nserve: {}\nshards: 2\n')
  t.match(errorsOf(t, { file: duplicate }), [/tickd\.yaml line 3: .*unique/])
  t.match(errorsOf(t, { file: file(t, 'shards: [1\nserve: {}\n') })[0], /tickd\.yaml line \d/)
  t.match(errorsOf(t, { file: file(t, '- a\n- b\n') }), [/must be a mapping/])
  t.match(errorsOf(t, { file: file(t, 'shards: !!js/function "x"\n') })[0], /line 1/)
})

t.test('a file that is missing, or is a directory, is named', async (t) => {
  t.match(errorsOf(t, { file: '/nonexistent.yaml' }), [
    /\/nonexistent\.yaml cannot be read.*ENOENT/,
  ])
  t.match(errorsOf(t, { file: t.testdir() }), [/cannot be read/])
})

t.test('--set without a value is wrong usage', async (t) => {
  t.throws(() => loadConfig({ set: ['serve.flush_ms'] }), { code: 'USAGE' })
  t.throws(() => loadConfig({ set: ['=1'] }), { code: 'USAGE' })
})

t.test('an override cannot reach what is no option', async (t) => {
  t.match(errorsOf(t, { set: ['__proto__.polluted=1'] }), [/__proto__: unknown option/])
  t.match(errorsOf(t, { set: ['constructor.x=1'] }), [/constructor: unknown option/])
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
  t.match(errorsOf(t, { set: ['sources.9.rate=1'] }), [/sources\.9: there is no such member/])
  t.match(errorsOf(t, { set: ['sources.none.rate=1'] }), [/there is no such member/])
})

t.test('a null where a group belongs is an error, not the default', async (t) => {
  t.match(errorsOf(t, { file: file(t, 'serve:\n') }), [/^serve: must be a mapping; given is null/])
})

t.test('the password of an address is not shown', async (t) => {
  const set = ['postgres.mode=external', 'postgres.url=mysql://me:hunter2@db/x?password=hunter2']
  const text = errorsOf(t, { set }).join()
  t.notMatch(text, /hunter2/)
  t.match(text, 'mysql://me:***@db')
})

t.test('the configuration is frozen to its leaves', async (t) => {
  const { config } = loadConfig()
  t.throws(() => Object.assign(config.serve.listen, { port: 1 }), TypeError)
  t.throws(() => (config.sources as unknown[]).push(1), TypeError)
})

t.test('a directory for a state is not made by loading', async (t) => {
  const directory = join(t.testdir(), 'state')
  t.equal(loadConfig({ set: [`state_dir=${directory}`] }).config.state_dir, directory)
  mkdirSync(directory)
})
