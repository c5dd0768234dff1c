import t from 'tap'
import { Addresses, readableAddress } from '../../../../src/serve/access/addresses.ts'
import { Allowance } from '../../../../src/serve/access/allowance.ts'
import { isOriginAllowed } from '../../../../src/serve/access/origin.ts'
import { UsageBoard } from '../../../../src/serve/access/usage-board.ts'

t.test('an allowance comes back with time, up to its burst', async (t) => {
  const allowance = new Allowance(10, 5)
  for (let i = 0; i < 5; i++) t.equal(allowance.take(1, 0), 0)
  t.equal(allowance.take(1, 0), 100, 'the sixth waits for a tenth of a second')
  t.ok(allowance.take(1, 90) > 0)
  t.equal(allowance.take(1, 101), 0)
  t.equal(allowance.isFull(101), false)
  t.equal(allowance.isFull(700), true)
  t.equal(allowance.take(6, 1_000_000), 100, 'and no further')
})

t.test('what is charged beyond it is owed', async (t) => {
  const allowance = new Allowance(1000, 1000)
  allowance.charge(3000, 0)
  t.equal(allowance.debt(0), 2000)
  t.equal(allowance.waitMs(0), 2000)
  t.equal(allowance.debt(1500), 500)
  t.equal(allowance.debt(2000), 0)
})

t.test('addresses: IPv4 in IPv6 is IPv4, and a /64 is one client', async (t) => {
  t.equal(readableAddress('0000:0000:0000:0000:0000:ffff:0a02:00ff'), '10.2.0.255')
  t.equal(readableAddress('10.2.0.7'), '10.2.0.7')
  const addresses = new Addresses(10, new UsageBoard(UsageBoard.create(1), 1, 0, 'x'))
  const [a, b, c] = [1, 2, 3].map((n) => {
    const network = n === 3 ? '0002' : '0001'
    return addresses.use(`2001:0db8:0000:${network}:0000:0000:0000:000${n}`)
  })
  t.equal(a, b)
  t.not(a, c)
  t.not(addresses.use('10.0.0.1'), addresses.use('10.0.0.2'))
})

t.test('pages: ours, those that are named, and no name that leads to us', async (t) => {
  const closed = { origins: ['https://a.example'], isDemanded: false, isInsecure: false }
  const allowed = (origin: string, host: string, rule = closed) =>
    isOriginAllowed(origin, host, rule)
  t.ok(allowed('', 'x'), 'no browser')
  t.ok(allowed('http://127.0.0.1:8080', '127.0.0.1:8080'))
  t.ok(allowed('http://localhost:8080', 'localhost:8080'))
  t.ok(allowed('http://[::1]:8080', '[::1]:8080'))
  t.ok(allowed('https://a.example', 'x'))
  t.notOk(allowed('http://a.example', 'x'))
  t.notOk(allowed('null', 'null'))
  t.notOk(allowed('http://127.0.0.1:9999', '127.0.0.1:8080'), 'another program of this machine')
  t.notOk(allowed('http://evil.example', 'evil.example'), 'rebound')
  t.notOk(allowed('http://127.0.0.1.evil.example', '127.0.0.1.evil.example'))
  t.ok(allowed('https://t.example', 't.example', { ...closed, isDemanded: true }))
  t.ok(allowed('http://t.example', 't.example', { ...closed, isInsecure: true }))
  t.ok(allowed('http://evil.example', 'x', { ...closed, origins: ['*'] }))
})
