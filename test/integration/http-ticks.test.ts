import t, { type Test } from 'tap'
import { FRAME_FORMAT } from '../../src/ring/frame-format.ts'
import { FRAME_FLAG } from '../../src/ring/frame-ring.ts'
import { type RigOptions, ServeRig } from '../support/serve-rig.ts'

const NDJSON = 'application/x-ndjson'

/** Stands for decode and journal: takes frames, counts lines, answers with receipts. */
class Decode {
  readonly rig: ServeRig
  readonly texts: string[] = []
  readonly formats = new Set<number>()
  readonly sources = new Set<number>()
  nextSeq = 1000
  frameBytesMax = 0
  /** Frames of bodies with a key; what is said of such a body. */
  readonly keyed: Buffer[] = []
  repeated = 0
  isReused = false
  isStalled = false
  /** Says durable as soon as it has answered. */
  syncs = true
  #isRunning = true

  constructor(rig: ServeRig) {
    this.rig = rig
    const turn = () => {
      if (!this.#isRunning) return
      if (!this.isStalled) this.#take()
      setImmediate(turn)
    }
    turn()
  }

  stop(): void {
    this.#isRunning = false
  }

  #take(): void {
    const { frames, receipts } = this.rig
    while (frames.poll()) {
      const { meta, bytes, start, end } = frames
      if ((meta.flags & FRAME_FLAG.WANT_RECEIPT) === 0) throw new Error('no receipt wanted')
      const text = Buffer.from(bytes.slice(start, end)).toString('latin1')
      const isPacked = meta.format === FRAME_FORMAT.packed
      const messages = isPacked
        ? Array.from({ length: text.length / 64 }, () => 'tick')
        : text.split('\n').filter((line) => line.trim() !== '')
      const count = (word: string) => messages.filter((line) => line.includes(word)).length
      const rejected = count('bad')
      const duplicate = count('again')
      const accepted = messages.length - rejected - duplicate
      this.texts.push(text)
      this.formats.add(meta.format)
      this.sources.add(meta.source)
      this.frameBytesMax = Math.max(this.frameBytesMax, text.length)
      const { source, token } = meta
      if ((meta.flags & FRAME_FLAG.MARKED) !== 0) this.keyed.push(Buffer.from(bytes.slice(start)))
      const { repeated, isReused } = this
      const counts = { accepted, duplicate, rejected, repeated, isReused }
      receipts.receipt({ token, source, firstSeq: this.nextSeq, ...counts })
      this.nextSeq += accepted
      frames.release()
    }
    if (this.syncs) this.rig.durable = this.nextSeq
  }
}

function setUp(t: Test, options: RigOptions = {}) {
  const rig = new ServeRig(options)
  rig.start()
  const decode = new Decode(rig)
  t.teardown(async () => {
    decode.stop()
    await rig.close()
  })
  return { rig, decode }
}

async function post(
  rig: ServeRig,
  type: string,
  body: string | Uint8Array,
  query = '',
  key?: string,
) {
  const response = await fetch(`${rig.http}/v1/ticks${query}`, {
    method: 'POST',
    headers: { 'content-type': type, ...(key === undefined ? {} : { 'idempotency-key': key }) },
    body,
  })
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: (await response.json()) as Record<string, unknown>,
  }
}

t.test('lines are answered with what became of them, and their sequences', async (t) => {
  const { rig, decode } = setUp(t)
  const lines = '{"n":1}\n{"n":"bad"}\n{"n":"again"}\n{"n":2}\n'
  const answer = await post(rig, `${NDJSON}; charset=utf-8`, lines)
  t.equal(answer.status, 200)
  t.same(answer.body, {
    accepted: 2,
    duplicate: 1,
    rejected: 1,
    repeated: 0,
    first_seq: 1000,
    last_seq: 1001,
    epoch: 7,
    shard: 0,
  })
  t.same(decode.texts, [lines])
  t.same([...decode.sources], [3], 'the frames name the source of the configuration')
})

t.test('the answer waits until the journal is durable up to the last record', async (t) => {
  const { rig, decode } = setUp(t)
  decode.syncs = false
  let isAnswered = false
  const answer = post(rig, NDJSON, '{"n":1}\n{"n":2}\n').finally(() => {
    isAnswered = true
  })
  await until(() => decode.texts.length === 1)
  rig.durable = 1001
  await turns(20)
  t.notOk(isAnswered, 'one of two records is durable: not yet')
  rig.durable = 1002
  t.equal((await answer).status, 200)
})

t.test('a body of duplicates only waits for the records that it repeats', async (t) => {
  const { rig, decode } = setUp(t)
  decode.syncs = false
  decode.nextSeq = 1010
  let isAnswered = false
  const answer = post(rig, NDJSON, '{"n":"again"}\n').finally(() => {
    isAnswered = true
  })
  await until(() => decode.texts.length === 1)
  await turns(20)
  t.notOk(isAnswered, 'the record that was repeated is among those not yet durable')
  rig.durable = decode.nextSeq
  t.match((await answer).body, { accepted: 0, duplicate: 1, first_seq: null, last_seq: null })
})

t.test('a repeated body is answered once the records of the first try are durable', async (t) => {
  const { rig, decode } = setUp(t)
  decode.syncs = false
  decode.repeated = 2
  let isAnswered = false
  const body = '{"n":"again"}\n{"n":"again"}\n'
  const answer = post(rig, NDJSON, body, '', 'key-1').finally(() => {
    isAnswered = true
  })
  await until(() => decode.texts.length === 1)
  rig.durable = 1001
  await turns(20)
  t.notOk(isAnswered, 'one of two is durable: not yet')
  rig.durable = 1002
  const counts = { accepted: 0, duplicate: 2, repeated: 2, first_seq: 1000, last_seq: 1001 }
  t.match(await answer, { status: 200, body: counts })
})

t.test('each frame of a body with a key is a part of it, under one digest', async (t) => {
  const { rig, decode } = setUp(t)
  const lines = `${JSON.stringify({ n: 'x'.repeat(1000) })}\n`.repeat(200)
  t.match(await post(rig, NDJSON, lines, '', 'key-1'), { status: 200, body: { accepted: 200 } })
  t.match(await post(rig, NDJSON, '{"n":1}\n', '', 'key-2'), { status: 200 })
  const digests = decode.keyed.map((frame) => frame.subarray(0, 16).toString('hex'))
  const parts = decode.keyed.map((frame) => frame.readUInt32LE(16))
  t.same(parts, [0, 1, 2, 3, 0])
  t.same(new Set(digests.slice(0, 4)).size, 1)
  t.not(digests[4], digests[0])
  await post(rig, NDJSON, '{"n":1}\n')
  t.equal(decode.keyed.length, 5, 'without a key there is no prefix')
})

t.test('a key that stood for another body is a conflict; one too long is refused', async (t) => {
  const { rig, decode } = setUp(t)
  decode.isReused = true
  const answer = await post(rig, NDJSON, '{"n":"bad"}\n', '', 'key-1')
  t.match(answer, { status: 409, body: { error: { code: 'key_reused' }, rejected: 1 } })
  t.match(await post(rig, NDJSON, '{}', '', 'k'.repeat(256)), { status: 400 })
})

t.test('a JSON array or object becomes lines, byte for byte', async (t) => {
  const { rig, decode } = setUp(t)
  const number = '61737.630000000000000001'
  const record = `{"a":[1,{"b":"x,\\"]}\\\\"}],\r\n "price":${number}}`
  const answer = await post(rig, 'application/json', ` [${record},\n${record} , {"n":3}]\n`)
  t.match(answer, { status: 200, body: { accepted: 3 } })
  const lines = (decode.texts[0] ?? '').split('\n').filter((line) => line.trim() !== '')
  t.equal(lines.length, 3)
  for (const line of lines.slice(0, 2)) {
    t.match(JSON.parse(line), { a: [1, { b: 'x,"]}\\' }] })
    t.ok(line.includes(number), 'numbers are not read and printed again')
  }
  t.match(await post(rig, 'application/json', '{"one":\n1}'), { body: { accepted: 1 } })
})

t.test('packed ticks are passed on in whole ticks', async (t) => {
  const { rig, decode } = setUp(t)
  const answer = await post(rig, 'application/vnd.tickd.tick', new Uint8Array(64 * 3000))
  t.match(answer, { status: 200, body: { accepted: 3000, first_seq: 1000, last_seq: 3999 } })
  t.same([...decode.formats], [FRAME_FORMAT.packed])
  t.ok(decode.texts.every((text) => text.length % 64 === 0))
  t.ok(decode.frameBytesMax <= 64 * 1024)
})

t.test('a body larger than the ring goes through in chunks of whole lines', async (t) => {
  const { rig, decode } = setUp(t)
  const line = `{"pad":"${'x'.repeat(90)}"}\n`
  const count = 9000
  const answer = await post(rig, NDJSON, line.repeat(count))
  t.match(answer, { status: 200, body: { accepted: count, last_seq: 999 + count } })
  t.ok(decode.texts.length > 10)
  t.ok(decode.texts.every((text) => text.endsWith('\n')))
  t.ok(decode.frameBytesMax <= 64 * 1024)
})

t.test('several requests are under way at once, each with its own answer', async (t) => {
  const { rig } = setUp(t)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => post(rig, NDJSON, '{"n":1}\n'.repeat(i + 1))),
  )
  answers.forEach((answer, i) => {
    t.match(answer, { status: 200, body: { accepted: i + 1 } })
  })
})

t.test('what is not a body of ticks is refused, and nothing of it is taken', async (t) => {
  const { rig, decode } = setUp(t, { settings: { body_bytes_max: 100_000 } })
  const refused: [type: string, body: string, status: number, code: string][] = [
    ['text/plain', 'x', 415, 'unsupported_type'],
    [NDJSON, '', 400, 'bad_body'],
    ['application/json', '[{"a":1}', 400, 'bad_body'],
    ['application/json', '[{"a":1}] x', 400, 'bad_body'],
    ['application/json', '"text"', 400, 'bad_body'],
    ['application/vnd.tickd.tick', 'x'.repeat(65), 400, 'bad_body'],
    [NDJSON, 'x'.repeat(100_001), 413, 'body_too_large'],
  ]
  for (const [type, body, status, code] of refused) {
    t.match(await post(rig, type, body), { status, body: { error: { code } } }, `${type} ${code}`)
  }
  t.match(await post(rig, NDJSON, 'x', '?source=nope'), { status: 404 })
  t.equal(decode.texts.length, 0)
})

t.test('a body of undeclared length is cut off at the limit', async (t) => {
  const { rig } = setUp(t, { settings: { body_bytes_max: 10_000 } })
  const chunks = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(1000).fill(10))
      controller.close()
    },
  })
  const request = fetch(`${rig.http}/v1/ticks`, {
    method: 'POST',
    headers: { 'content-type': NDJSON },
    body: chunks,
    duplex: 'half',
  } as RequestInit)
  const status = await request.then(
    (response) => response.status,
    () => 'closed',
  )
  // The server closes after its answer; a client still sending may see only the close.
  t.ok(status === 413 || status === 'closed', `answered ${status}`)
  t.match(await post(rig, NDJSON, '{"n":1}\n'), { status: 200 })
})

t.test('more bodies at once than memory allows are told to come again', async (t) => {
  const { rig, decode } = setUp(t, { settings: { body_bytes_max: 100_000 } })
  decode.isStalled = true
  const body = '{"n":1}\n'.repeat(12_000)
  const waiting = Array.from({ length: 4 }, () => post(rig, NDJSON, body))
  await until(() => rig.counters.get('http_requests') === 4)
  const answer = await post(rig, NDJSON, body)
  t.match(answer, { status: 503, retryAfter: '1', body: { error: { code: 'busy' } } })
  decode.isStalled = false
  for (const one of await Promise.all(waiting)) t.match(one, { body: { accepted: 12_000 } })
})

t.test('a stop waits for the requests under way and refuses others', async (t) => {
  const { rig, decode } = setUp(t)
  decode.isStalled = true
  const answer = post(rig, NDJSON, '{"n":1}\n')
  await until(() => rig.counters.get('http_requests') === 1)
  await turns(5)
  t.notOk(rig.agent.drain())
  decode.isStalled = false
  t.equal((await answer).status, 200)
  t.ok(rig.agent.drain())
})

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

async function until(test: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!test()) {
    if (performance.now() > deadline) throw new Error('waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
