// The console in a real browser, on the real daemon: it loads without a complaint, shows what the
// daemon does, and is usable on a phone. And the example of a page of one's own.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import t from 'tap'
import { launchChromium, withoutChromium } from '../support/chromium.ts'
import { DaemonProcess } from '../support/daemon.ts'

t.setTimeout(120_000)

t.test('the console', { skip: withoutChromium }, async (t) => {
  const daemon = await DaemonProcess.start({
    config: {
      sources: [{ name: 'synthetic', type: 'synthetic', rate: 1000 }],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  const chromium = await launchChromium()
  t.teardown(() => chromium.close())
  const complaints: string[] = []
  const page = await chromium.newPage({ viewport: { width: 1280, height: 900 } })
  page.setDefaultTimeout(20_000)
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('request', (request) => {
    const isOwn = request.url().startsWith(daemon.address('http'))
    if (!isOwn && !request.url().startsWith('data:')) complaints.push(`loads ${request.url()}`)
  })
  await page.goto(daemon.address('http'))

  await t.test('prices come, and the figures', async (t) => {
    const row = page.locator('#prices tr', { hasText: 'BTC-USD' })
    await row.waitFor()
    t.match(await row.locator('td').nth(1).textContent(), /^\d+(\.\d+)?$/)
    await page.locator('[data-figure=ticks] b', { hasText: /^\d{3}/ }).waitFor()
    await page.locator('#ready', { hasText: 'ready' }).waitFor()
    await page.locator('#ledger', { hasText: 'everything accounted for' }).waitFor()
    await page.locator('#feed', { hasText: 'open' }).waitFor()
    t.match(await page.locator('#session').textContent(), /version \S+, epoch 1/)
    t.equal(await page.locator('[data-figure=subscribers] b').textContent(), '1')
    t.match(await page.locator('[data-figure=ring] b').textContent(), /%$/)
    t.equal(await page.locator('[data-figure=imbalances] b').textContent(), '0')
  })

  await t.test('candles are drawn of the chosen instrument', async (t) => {
    const inkOf = (): Promise<number> =>
      page.evaluate(`(() => {
        const canvas = document.getElementById('chart')
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
        let green = 0
        for (let i = 0; i < data.length; i += 4) {
          const strong = Math.max(data[i], data[i + 1]) - Math.min(data[i], data[i + 1])
          if (strong > 60) green++
        }
        return green
      })()`)
    await page.getByRole('button', { name: 'ETH-USD' }).click()
    await page.locator('#chart-name', { hasText: 'ETH-USD' }).waitFor()
    await page.locator('#chart-last', { hasText: /\d/ }).waitFor()
    t.match(await page.locator('tr[aria-selected=true]').textContent(), 'ETH-USD')
    await page.waitForTimeout(100)
    t.ok((await inkOf()) > 20, 'coloured')
    await page.getByRole('button', { name: '1 min' }).click()
    t.equal(await page.getByRole('button', { name: '1 min' }).getAttribute('aria-pressed'), 'true')
  })

  await t.test('on a phone nothing is wider than the screen, in light and dark', async (t) => {
    await page.setViewportSize({ width: 360, height: 740 })
    const width = await page.evaluate<number>('document.documentElement.scrollWidth')
    t.ok(width <= 360, `${width} px`)
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    await page.emulateMedia({ colorScheme: 'light' })
    const light = await background()
    await page.emulateMedia({ colorScheme: 'dark' })
    t.not(await background(), light)
  })

  t.same(complaints, [], 'no error, no warning, nothing from elsewhere')

  await t.test('when the daemon goes, the page says so', async (t) => {
    t.equal(await daemon.stop(), 0)
    await page.locator('#ready', { hasText: 'no answer' }).waitFor()
    await page.locator('#notice').waitFor()
    t.match(await page.locator('#notice').textContent(), /the connection ended/)
  })
})

t.test('examples/chart.html draws from another origin', { skip: withoutChromium }, async (t) => {
  const text = readFileSync(resolve(import.meta.dirname, '../../examples/chart.html'))
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const daemon = await DaemonProcess.start({
    config: {
      access: { origins: [origin] },
      sources: [{ name: 'synthetic', type: 'synthetic', rate: 1000 }],
      postgres: { mode: 'off' },
      redis: { mode: 'off' },
    },
  })
  t.teardown(() => daemon.stop())
  const chromium = await launchChromium()
  t.teardown(() => chromium.close())
  const page = await chromium.newPage()
  page.setDefaultTimeout(20_000)
  const { host } = new URL(daemon.address('http'))
  await page.goto(`${origin}/?daemon=${host}&symbol=BTC-USD`)
  await page.locator('#title', { hasText: /^BTC-USD \d/ }).waitFor()
  await page.locator('#state', { hasText: /^open, \d{2,} records/ }).waitFor()
  t.match(await page.locator('#state').textContent(), /, 0 missed$/)
})
