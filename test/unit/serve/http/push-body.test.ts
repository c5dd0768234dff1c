import t from 'tap'
import { FRAME_BYTES_MAX, FRAME_CHUNK_BYTES } from '../../../../src/limits.ts'
import { frameEnd, isFault, readPushBody } from '../../../../src/serve/http/push-body.ts'

const encode = (text: string) => new TextEncoder().encode(text)

/** The non-empty lines that a JSON body becomes, or its status when it is refused. */
function lines(json: string): string[] | number {
  const body = readPushBody('application/json', encode(json))
  if (isFault(body)) return body.status
  return new TextDecoder()
    .decode(body.bytes)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function chunks(type: string, bytes: Uint8Array): number[] {
  const body = readPushBody(type, bytes)
  if (isFault(body)) throw new Error(body.message)
  const sizes: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = frameEnd(body, at)
    sizes.push(end - at)
    at = end
  }
  return sizes
}

t.test('JSON becomes one record a line, unchanged within', (t) => {
  t.same(lines('{"a":1}'), ['{"a":1}'])
  t.same(lines('[{"a":1},{"b":2}]'), ['{"a":1}', '{"b":2}'])
  t.same(lines('[{"a":[1,2],"s":"],}{\\"\\\\"},\t{"b":{}}]\n'), [
    '{"a":[1,2],"s":"],}{\\"\\\\"}',
    '{"b":{}}',
  ])
  t.same(lines('{"a":\n1,\r\n"b":2}'), ['{"a": 1,  "b":2}'])
  t.same(lines('[]'), [])
  t.same(lines('[1,"x"]'), ['1', '"x"'], 'whether an element is a record is for the decoder')
  t.end()
})

t.test('JSON that does not balance is refused', (t) => {
  for (const json of ['{', '[{}', '{}}', '[]]', '[] {}', '{} {}', '"text"', '12', ' ', '{"a":"}']) {
    t.equal(lines(json), 400, json)
  }
  t.end()
})

t.test('lines are cut at line ends; a long line goes alone', (t) => {
  const type = 'application/x-ndjson'
  const line = `${'x'.repeat(999)}\n`
  const sizes = chunks(type, encode(line.repeat(200)))
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    200_000,
  )
  t.ok(sizes.every((size) => size % 1000 === 0 && size <= FRAME_CHUNK_BYTES))
  const long = `${'y'.repeat(FRAME_CHUNK_BYTES + 10)}\n`
  t.same(chunks(type, encode(`a\n${long}b\n`)), [2, long.length, 2])
  t.same(chunks(type, encode('a\nb')), [3], 'the last line needs no end')
  const exact = `${'z'.repeat(FRAME_CHUNK_BYTES - 1)}\n`
  t.same(chunks(type, encode(`${exact}${exact}`)), [exact.length, exact.length])
  t.end()
})

t.test('packed ticks are cut at ticks', (t) => {
  const type = 'application/vnd.tickd.tick'
  t.same(chunks(type, new Uint8Array(FRAME_CHUNK_BYTES + 64)), [FRAME_CHUNK_BYTES, 64])
  t.match(readPushBody(type, new Uint8Array(63)), { status: 400 })
  t.match(readPushBody(type, new Uint8Array(0)), { status: 400 })
  t.end()
})

t.test('a line that no frame can hold is refused', (t) => {
  const body = new Uint8Array(FRAME_BYTES_MAX + 1).fill(0x61)
  t.match(readPushBody('application/x-ndjson', body), { status: 413 })
  t.notOk(isFault(readPushBody('application/x-ndjson', body.subarray(1))))
  t.end()
})
