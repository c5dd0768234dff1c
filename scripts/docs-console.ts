// The pictures of docs/console.md, from the real page of a daemon that this script starts.
//
//   node scripts/docs-console.ts
//
// Writes docs/images/console-*.png. Needs a Chromium. A daemon with the synthetic source runs for
// half a minute first, so that the chart has something to show.

import { mkdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { chromiumPath, launchChromium } from '../test/support/chromium.ts'
import { DaemonProcess } from '../test/support/daemon.ts'

const FOLDER = resolve(import.meta.dirname, '../docs/images')
const WARM_UP_MS = 45_000
const PICTURES = [
  { name: 'console-light', width: 1200, height: 860, colorScheme: 'light' },
  { name: 'console-dark', width: 1200, height: 860, colorScheme: 'dark' },
  { name: 'console-phone', width: 390, height: 844, colorScheme: 'dark' },
] as const

async function main(): Promise<void> {
  if (chromiumPath === undefined) throw new Error('no Chromium: install it (apt: chromium)')
  mkdirSync(FOLDER, { recursive: true })
  const daemon = await DaemonProcess.start()
  const browser = await launchChromium()
  try {
    const pages = await Promise.all(
      PICTURES.map(async ({ width, height, colorScheme }) => {
        const page = await browser.newPage({ viewport: { width, height }, colorScheme })
        await page.goto(daemon.address('http'))
        return page
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS))
    for (const [index, page] of pages.entries()) {
      const path = resolve(FOLDER, `${PICTURES[index]?.name}.png`)
      await page.bringToFront()
      await page.waitForTimeout(500)
      await page.screenshot({ path })
      console.log(`${path}: ${statSync(path).size} bytes`)
    }
  } finally {
    await browser.close()
    await daemon.stop()
  }
}

await main()
