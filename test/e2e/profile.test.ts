// Profiles of the real daemon under load: each sort of thread, each form, and the command.

import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { CpuProfile, HeapNode, TraceEvent } from '../../src/ops/profiling/profiles.ts'
import { DaemonProcess } from '../support/daemon.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const workDir = mkdtempSync(join(tmpdir(), 'tickd-profile-'))
t.setTimeout(180_000)

const daemon = await DaemonProcess.start({
  config: {
    redis: { mode: 'off' },
    sources: [
      { name: 'synthetic', type: 'synthetic', rate: 20_000 },
      { name: 'push', type: 'tcp', listen: { port: 0 } },
    ],
  },
  // So that the decoder has functions that V8 can name.
  env: { TICKD_KERNELS: 'js' },
})
const load = startLoad()
const admin = String(daemon.lines.find(({ name }) => name === 'admin')?.address)
t.teardown(async () => {
  load.destroy()
  await daemon.stop()
  rmSync(workDir, { recursive: true, force: true })
})

/** The same trades over and over, as fast as the daemon takes them: repeats are decoded too. */
function startLoad(): Socket {
  const { host, port } = daemon.listening('push')
  const lines = Array.from({ length: 2000 }, (_, id) => {
    const time = new Date().toISOString()
    const fields = `"ts_event":"${time}","id":"${id}","side":"buy","price":"1.5","size":"2"`
    return `{"type":"trade","venue":"mine","symbol":"S${id % 20}-USD",${fields}}\n`
  })
  const piece = Buffer.from(lines.join(''))
  const socket = connect(port, host)
  // The daemon's stop cuts it.
  socket.on('error', () => {})
  const write = () => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on('connect', write)
  socket.on('drain', write)
  return socket
}

async function profile(query: string): Promise<Response> {
  const response = await fetch(`${admin}/debug/profile/${query}`, { method: 'POST' })
  if (response.status !== 200) throw new Error(`${query}: ${await response.text()}`)
  return response
}

/** 'decode src/decode/packed.ts' for each function that was seen. */
function functionsOf({ nodes }: CpuProfile): string[] {
  return nodes.map(({ callFrame: { functionName, url } }) => {
    return `${functionName} ${/src\/.*/.exec(url)?.[0] ?? url}`
  })
}

async function sessions(): Promise<number> {
  const list = (await (await fetch(`${admin}/debug/threads`)).json()) as Record<string, unknown>
  return Number(list.inspector_sessions)
}

t.test('without a profile no thread has an inspector session', async (t) => {
  t.equal(await sessions(), 0)
  t.notMatch(daemon.output(), /Debugger listening/)
})

t.test('decode, which blocks, is seen decoding', async (t) => {
  const taking = profile('cpu?thread=decode-0&seconds=3')
  await t.resolves(until(async () => (await sessions()) === 1))
  const response = await taking
  t.match(response.headers.get('x-tickd-roles'), /decode-0/)
  const functions = functionsOf((await response.json()) as CpuProfile)
  const decoders = functions.filter((each) => / src\/decode\/(?!agent)/.test(each))
  t.ok(decoders.length > 3, functions.join('\n'))
  t.ok(functions.includes('doWork src/decode/agent.ts'))
  t.equal(await sessions(), 0, 'and nothing is left of it')
})

t.test('serve, an event loop, and main', async (t) => {
  const serve = functionsOf((await (await profile('cpu?thread=serve&seconds=2')).json()) as never)
  t.ok(serve.includes('doWork src/serve/agent.ts'), serve.join('\n'))
  const main = (await (await profile('cpu?thread=main&seconds=1')).json()) as CpuProfile
  t.ok(main.samples.length > 100)
  t.notOk(functionsOf(main).includes('doWork src/serve/agent.ts'))
})

t.test('journal as a flame graph', async (t) => {
  const response = await profile('cpu?thread=journal-0&seconds=2&format=svg')
  t.match(response.headers.get('content-type'), /^image\/svg\+xml/)
  const svg = await response.text()
  t.match(svg, /^<svg /)
  t.match(svg, /<title>doWork src\/journal\/agent\.ts:\d+: /)
  t.match(svg, /<\/svg>\n$/)
})

t.test('the allocations of a thread', async (t) => {
  const { head } = (await (await profile('heap?thread=source&seconds=2')).json()) as {
    head: HeapNode
  }
  const sum = (node: HeapNode): number => {
    return node.children.reduce((total, child) => total + sum(child), node.selfSize)
  }
  t.ok(sum(head) > 0)
})

t.test('a trace has the journal’s fsyncs, on the journal’s thread', async (t) => {
  const { traceEvents } = (await (await profile('trace?seconds=2')).json()) as {
    traceEvents: TraceEvent[]
  }
  const names = new Map(
    traceEvents
      .filter(({ name }) => name === 'thread_name')
      .map(({ tid, args }) => [tid, (args as { name: string }).name]),
  )
  const syncs = traceEvents.filter(({ name }) => /fs\.sync\.f(data)?sync/.test(name))
  const { threads } = (await (await fetch(`${admin}/debug/threads`)).json()) as {
    threads: { name: string; roles: string[] }[]
  }
  t.same([...names.values()].sort(), threads.map(({ name }) => name).sort())
  const journal = threads.find(({ roles }) => roles.includes('journal-0'))?.name
  t.ok(syncs.length > 0)
  t.same([...new Set(syncs.map(({ tid }) => names.get(tid)))], [journal])
})

t.test('metrics of threads, agents and rings', async (t) => {
  const text = await (await fetch(`${daemon.address('http')}/metrics`)).text()
  const value = (metric: string): number => {
    const line = text.split('\n').find((each) => each.startsWith(`${metric} `))
    return Number(line?.split(' ')[1] ?? Number.NaN)
  }
  t.ok(value('tickd_agent_duty_cycles_total{role="decode-0"}') > 0)
  t.ok(value('tickd_agent_duty_seconds_max{role="decode-0"}') > 0)
  t.equal(value('tickd_agent_restarts_total{role="decode-0"}'), 0)
  t.ok(value('tickd_thread_busy_seconds_total{thread="main"}') > 0)
  t.equal(value('tickd_thread_starts_total{thread="main"}'), 1)
  t.ok(value('tickd_frame_ring_capacity_bytes{shard="0",producer="source"}') > 0)
  t.ok(value('tickd_tick_ring_lag_records{shard="0",consumer="journal"}') >= 0)
})

interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

/** Runs `tickd profile …` in an empty directory, beside this test's event loop. */
async function command(args: string[]): Promise<Ended> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, 'profile', ...args],
    { cwd: workDir },
  )
  const ended: Ended = { status: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    ended.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    ended.stderr += text
  })
  ended.status = await new Promise((resolve) => child.on('close', resolve))
  return ended
}

t.test('the command lists the threads and saves what was asked', async (t) => {
  const threads = await command(['threads', '--url', admin])
  t.equal(threads.status, 0)
  t.match(threads.stdout, /decode-0/)
  const list = await command(['threads', '--json', '--url', admin])
  t.match(JSON.parse(list.stdout), [{ name: 'main' }])

  const svg = join(workDir, 'decode.svg')
  const args = ['cpu', '--thread', 'decode-0', '--seconds', '1', '--url', admin]
  const saved = await command([...args, '--json', '-o', svg])
  t.match(JSON.parse(saved.stdout), { file: svg })
  t.equal(saved.stderr, '', 'no progress where there is no terminal')
  t.match(readFileSync(svg, 'utf8'), /^<svg /, 'the name says the format')

  const named = await command(args)
  t.equal(named.status, 0)
  const file = readdirSync(workDir).find((name) => name.endsWith('.cpuprofile')) ?? ''
  t.match(file, /^tickd-cpu-decode-0-\d{4}-\d\d-\d\dT/)
  t.match(named.stdout, file)
  t.ok(Array.isArray(JSON.parse(readFileSync(join(workDir, file), 'utf8')).samples))

  const piped = await command([...args, '-o', '-'])
  t.ok(Array.isArray(JSON.parse(piped.stdout).samples))
  t.notOk(readdirSync(workDir).some((name) => name.endsWith('.part')))
})

t.test('what the command cannot do is one line', async (t) => {
  const unknown = await command(['cpu', '--thread', 'decode-7', '--url', admin])
  t.equal(unknown.status, 2)
  t.match(unknown.stderr, /^tickd: there is no thread decode-7; there is main, .*decode-0/)
  t.match(await command(['cpu', '--url', admin]), { status: 2, stderr: /--thread is missing/ })
  t.match(await command(['cpu', '-t', 'main', '-n', '500']), { status: 2 })
  t.match(await command(['cpu', '-t', 'main', '-f', 'gif', '--url', admin]), { status: 2 })
  const nobody = await command(['threads', '--url', 'http://127.0.0.1:1'])
  t.match(nobody, { status: 1, stderr: /cannot be reached .*is the daemon running/ })
  const wrong = await command(['threads', '--url', daemon.address('http')])
  t.match(wrong, { status: 1, stderr: /answered 404; is it tickd’s admin listener/ })
})

t.test('a profile that is being taken does not hold up the daemon’s stop', async (t) => {
  const taking = profile('cpu?thread=decode-0&seconds=100').catch((error: Error) => error)
  await until(async () => (await sessions()) === 1)
  const beganMs = performance.now()
  t.equal(await daemon.stop(), 0)
  t.ok(performance.now() - beganMs < 20_000)
  t.type(await taking, Error)
})

async function until(test: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!(await test())) {
    if (performance.now() > deadlineMs) throw new Error('not in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
