// The machine's Chromium, for tests of what runs in browsers.

import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

export const chromiumPath = PLACES.find((path) => existsSync(path))

/** false, or why such a test is skipped. */
export const withoutChromium = chromiumPath === undefined ? 'there is no Chromium here' : false

export function launchChromium(): Promise<Browser> {
  // Its sandbox wants an account of its own, which root and containers do not have.
  return chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox'] })
}
