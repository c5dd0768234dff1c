import t from 'tap'
import { keySlot, parseRedirect, SlotMap } from '../../../../src/storage/redis/slots.ts'

t.test('a key has the slot that Redis gives it', (t) => {
  // What CLUSTER KEYSLOT of Redis 7 answers.
  const known: [key: string, slot: number][] = [
    ['123456789', 12_739],
    ['foo', 12_182],
    ['foo{hash_tag}', 2515],
    ['bar{hash_tag}', 2515],
    ['', 0],
  ]
  for (const [key, slot] of known) t.equal(keySlot(key), slot, key)
  t.end()
})

t.test('only what is within the first braces counts, unless that is nothing', (t) => {
  t.equal(keySlot('{tickd}:latest:a:B'), keySlot('{tickd}:stream'))
  t.equal(keySlot('x{a}y{b}'), keySlot('a'))
  t.not(keySlot('{}a'), keySlot(''))
  t.not(keySlot('{a'), keySlot('a'))
  t.end()
})

t.test('the table of slots is read from CLUSTER SLOTS, replicas left out', (t) => {
  const asked = { host: '10.0.0.9', port: 7000 }
  const map = SlotMap.parse(
    [
      [0, 8191, ['10.0.0.1', 7001, 'id1'], ['10.0.0.3', 7003, 'id3']],
      [8192, 16_382, ['', 7002, 'id2']],
    ],
    asked,
  )
  t.equal(map.owner(0), '10.0.0.1:7001')
  t.equal(map.owner(8191), '10.0.0.1:7001')
  t.equal(map.owner(8192), '10.0.0.9:7002', 'a node without a name is the one that was asked')
  t.equal(map.owner(16_383), undefined)
  t.same([...map.masters.keys()], ['10.0.0.1:7001', '10.0.0.9:7002'])
  t.throws(() => SlotMap.parse('OK', asked), /CLUSTER SLOTS/)
  t.end()
})

t.test('slots that have changed hands are found', (t) => {
  const before = SlotMap.parse([[0, 16_383, ['a', 1]]], { host: 'a', port: 1 })
  const after = SlotMap.parse([[0, 16_383, ['a', 1]]], { host: 'a', port: 1 })
  t.same(after.changedSince(before), [])
  after.assign(7, { host: 'b', port: 1 })
  after.assign(9, { host: 'a', port: 2 })
  t.same(after.changedSince(before), [7, 9])
  t.end()
})

t.test('redirections are told from other errors, and name the place', (t) => {
  const from = { host: 'h', port: 1 }
  t.same(parseRedirect('MOVED 866 10.0.0.2:6379', from), {
    isForGood: true,
    slot: 866,
    address: { host: '10.0.0.2', port: 6379 },
  })
  t.match(parseRedirect('ASK 5 [::1]:7000', from), { isForGood: false, address: { host: '::1' } })
  t.match(parseRedirect('MOVED 5 :7000', from), { address: { host: 'h', port: 7000 } })
  t.equal(parseRedirect('ERR MOVED 5 a:1', from), undefined)
  t.equal(parseRedirect('OOM command not allowed', from), undefined)
  t.end()
})
