// tickd generate and tickd replay as processes, against the real TCP listener and an HTTP server
// that answers as POST /v1/ticks does, busy and failing included.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import t, { type Test } from 'tap'
import { generateCommand } from '../../src/cli/generate.ts'
import { replayCommand } from '../../src/cli/replay.ts'
import { TcpPushSource } from '../../src/source/tcp-push.ts'
import { emptyJournal, SourceBench, until } from '../support/source-bench.ts'

const FLAGS = '--disable-warning=ExperimentalWarning'
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

// Each test runs processes that mostly start up and wait.
t.jobs = 3

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

async function tickd(...args: string[]): Promise<Outcome> {
  return await new Promise((resolve) => {
    const options = { maxBuffer: 2 ** 28 }
    execFile(process.execPath, [FLAGS, MAIN, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** A daemon's POST /v1/ticks, in so far as a sender sees it. */
async function httpServer(
  t: Test,
  answer: (lines: string[], key: string) => { status: number; body: object } | undefined,
): Promise<{ url: string; lines: string[]; requests: () => number }> {
  const lines: string[] = []
  let requests = 0
  const server: Server = createServer(async (request, response) => {
    requests++
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const got = Buffer.concat(parts).toString().split('\n').slice(0, -1)
    if (request.url !== '/v1/ticks') response.writeHead(404).end()
    else if (request.headers['content-type'] !== 'application/x-ndjson') {
      response.writeHead(415).end()
    } else {
      const special = answer(got, String(request.headers['idempotency-key']))
      const taken = Number((special?.body as { accepted?: number })?.accepted ?? got.length)
      lines.push(...got.slice(0, special === undefined ? got.length : taken))
      const body = special?.body ?? { accepted: got.length, duplicate: 0, rejected: 0 }
      response.writeHead(special?.status ?? 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, lines, requests: () => requests }
}

async function tcpListener(t: Test) {
  const bench = new SourceBench()
  const { sink, clock, log } = bench
  const source = new TcpPushSource({
    config: {
      name: 'push',
      format: 'ndjson',
      listen: { host: '127.0.0.1', port: 0 },
      connections_max: 4,
      chunk_bytes: 65_536,
    },
    path: 'sources[0]',
    sink,
    clock,
    log,
    journal: emptyJournal,
  })
  await source.start()
  t.teardown(() => source.close())
  let text = ''
  const turn = () => {
    source.doWork()
    for (const { bytes } of bench.take()) text += bytes.toString('latin1')
  }
  const timer = setInterval(turn, 2)
  t.teardown(() => clearInterval(timer))
  return { bench, url: `tcp://${source.address}`, lines: () => text.split('\n').slice(0, -1) }
}

/** A capture of three Binance frames: two trades and a reply. */
function captureFile(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'tickd-commands-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'a.jsonl')
  const trade = (id: number) =>
    JSON.stringify({
      stream: 'btcusdt@trade',
      data: {
        e: 'trade',
        E: 1_723_161_255_208,
        s: 'BTCUSDT',
        t: id,
        p: '61737.63000000',
        q: '0.50000000',
        T: 1_723_161_255_208,
        m: true,
        M: true,
      },
    })
  const line = (ns: string, data: string) =>
    `{"t":"recv","conn":1,"ts_ns":${ns},"data":${JSON.stringify(data)}}\n`
  writeFileSync(
    path,
    '{"t":"open","conn":1,"ts_ns":1723161255000000000,"url":"wss://x"}\n' +
      line('1723161255000000001', '{"result":null,"id":1}') +
      line('1723161255000000002', trade(1)) +
      line('1723161255300000003', trade(2)),
  )
  return path
}

t.test('historical data is evenly spread, and the same as ever for a seed', async (t) => {
  const { code, stdout, stderr } = await tickd(
    ...['generate', '--mode', 'historical', '--count', '2000', '--seed', '9'],
    ...['--start', '2024-06-01T00:00:00Z', '--end', '2024-06-01T01:00:00Z'],
  )
  t.equal(code, 0, stderr)
  t.equal(createHash('sha256').update(stdout).digest('hex').slice(0, 16), 'e382fc6f511052e6')
  const ticks = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.equal(ticks.length, 2000)
  t.equal(ticks[0].ts_recv, '2024-06-01T00:00:00.000000000Z')
  t.equal(ticks[1000].ts_recv, '2024-06-01T00:30:00.000000000Z')
  t.ok(ticks.every(({ type }) => ['trade', 'quote', 'book', 'price'].includes(type)))
})

t.test('high volume to a TCP listener: every line arrives', async (t) => {
  const { url, lines } = await tcpListener(t)
  const { code, stdout, stderr } = await tickd(
    ...['generate', '--mode', 'high-volume', '--count', '20000', '--to', url, '--json'],
  )
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { lines: 20_000 })
  await until(() => lines().length === 20_000, 'all lines')
})

t.test('continuous keeps its rate and ends in order on a signal', async (t) => {
  const { url, lines } = await tcpListener(t)
  const args = [FLAGS, MAIN, 'generate', '--rate', '500', '--to', url, '--json']
  const child: ChildProcess = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let stdout = ''
  child.stdout?.on('data', (data) => {
    stdout += data
  })
  await until(() => lines().length > 250, 'half a second of ticks')
  child.kill('SIGINT')
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  const { lines: sent, seconds } = JSON.parse(stdout)
  await until(() => lines().length === sent, 'what was sent has arrived')
  t.ok(sent <= Math.ceil(seconds * 500), `${sent} in ${seconds} s`)
})

t.test('standard output that is closed early ends it quietly', async (t) => {
  const args = [FLAGS, MAIN, 'generate', '--mode', 'high-volume']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
  })
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  t.equal(stderr, '')
})

t.test('malformed lines may be rejected: that is what they are for', async (t) => {
  const server = await httpServer(t, (lines) => ({
    status: 200,
    body: { accepted: 0, duplicate: 0, rejected: lines.length },
  }))
  const { code, stdout, stderr } = await tickd(
    ...['generate', '--mode', 'malformed', '--count', '100', '--to', server.url, '--json'],
  )
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { lines: 100, rejected: 100 })
})

t.test('replay sends what decode prints, marked as replayed, at the recorded pace', async (t) => {
  const server = await httpServer(t, () => undefined)
  const path = captureFile(t)
  const { code, stdout, stderr } = await tickd(
    ...['replay', path, '--venue', 'binance-us', '--format', 'tickd', '--speed', '1'],
    ...['--to', server.url, '--json'],
  )
  t.equal(code, 0, stderr)
  t.ok(JSON.parse(stdout).seconds >= 0.299, 'two trades 0.3 s apart')
  t.equal(server.requests(), 2, 'the first did not wait for the second')
  t.match(JSON.parse(stdout), {
    frames: 3,
    messages: 3,
    decoded: 2,
    ignored: 1,
    undecoded: 0,
    records: 2,
    accepted: 2,
    rejected: 0,
  })
  t.match(
    server.lines.map((line) => JSON.parse(line)),
    [
      {
        type: 'trade',
        venue: 'binance-us',
        symbol: 'BTC-USDT',
        ts_recv: '2024-08-08T23:54:15.000000002Z',
        id: '1',
        side: 'sell',
        price: '61737.63',
        size: '0.5',
      },
      { id: '2', ts_recv: '2024-08-08T23:54:15.300000003Z' },
    ],
  )
  for (const line of server.lines) t.ok(JSON.parse(line).flags.includes('replayed'))
})

t.test('what a daemon did not take wholly is sent again, whole and under its id', async (t) => {
  const tries: { key: string; lines: string[] }[] = []
  const server = await httpServer(t, (lines, key) => {
    tries.push({ key, lines })
    const error = { code: 'busy', message: 'too much is under way' }
    if (tries.length === 1) return { status: 503, body: { error, accepted: 0 } }
    const some = { accepted: lines.length - 400, duplicate: 0, rejected: 0 }
    if (tries.length === 2) return { status: 503, body: { error, ...some } }
    const repeated = lines.length - 400
    const all = { accepted: 400, duplicate: repeated, repeated, rejected: 0 }
    return tries.length === 3 ? { status: 200, body: all } : undefined
  })
  const { code, stdout, stderr } = await tickd(
    ...['generate', '--mode', 'historical', '--count', '20000', '--to', server.url, '--json'],
  )
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { lines: 20_000, accepted: 20_000, duplicate: 0 })
  const [first, second, third, ...others] = tries
  t.same(second, first)
  t.same(third, first)
  t.match(first?.key, /^\S+-0$/)
  const keys = new Set(tries.map(({ key }) => key))
  t.ok(others.length > 0)
  t.equal(keys.size, 1 + others.length, 'every other body has an id of its own')
})

t.test('records that the daemon rejects are exit code 1', async (t) => {
  const server = await httpServer(t, (lines) => ({
    status: 200,
    body: { accepted: lines.length - 1, duplicate: 0, rejected: 1 },
  }))
  const path = captureFile(t)
  const { code, stderr } = await tickd(
    ...['replay', path, '--venue', 'binance-us', '--format', 'tickd', '--to', server.url],
  )
  t.equal(code, 1)
  t.match(stderr, /rejected/)
})

t.test('a refusal is an error with the reason of the daemon', async (t) => {
  const server = await httpServer(t, () => ({
    status: 413,
    body: { error: { code: 'body_too_large', message: 'at most 1024 bytes a request' } },
  }))
  const { code, stderr } = await tickd(
    ...['generate', '--mode', 'high-volume', '--count', '10', '--to', server.url],
  )
  t.equal(code, 1)
  t.match(stderr, /answered 413: at most 1024 bytes/)
})

t.test('nobody there, and wrong usage, are errors that say what to do', async (t) => {
  const path = captureFile(t)
  const run = (command: Command, ...args: string[]) =>
    command
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .parseAsync(args, { from: 'user' })
  const replay = (...args: string[]) =>
    run(replayCommand(), path, '--venue', 'binance-us', '--format', 'tickd', ...args)
  const unreachable = { code: 'IO', message: /cannot be reached .*is the daemon running/ }
  await t.rejects(replay('--to', 'http://127.0.0.1:9'), unreachable)
  await t.rejects(replay('--to', 'tcp://127.0.0.1:9'), unreachable)
  await t.rejects(replay('--to', 'udp://127.0.0.1:9'), { code: 'USAGE', message: /tcp:\/\// })
  await t.rejects(replay('--venue', 'nowhere'), { code: 'USAGE', message: /known venues/ })
  const wrongArgument = { code: 'commander.invalidArgument' }
  await t.rejects(replay('--speed', 'fast'), wrongArgument)
  await t.rejects(replay('--format', 'pdf'), wrongArgument)
  await t.rejects(run(generateCommand(), '--count', '-1'), wrongArgument)
  await t.rejects(run(generateCommand(), '--mode', 'random'), wrongArgument)
  await t.rejects(run(generateCommand(), '--mode', 'historical', '--end', '2023-01-01T00:00:00Z'), {
    code: 'USAGE',
    message: /--end/,
  })
})
