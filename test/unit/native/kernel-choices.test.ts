// The suites of everything that has a native kernel, run with each choice of kernels.

import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import { chooseAddon, KERNEL_CHOICES } from '../../../src/native/addon.ts'
import { nativeAbsent } from '../../support/kernel-pair.ts'

const ROOT = resolve(import.meta.dirname, '../../..')
const SUITES = ['binance', 'binance-depth', 'ndjson', 'packed', 'kernels']
const NODE = ['--disable-warning=ExperimentalWarning']

function node(choice: string, ...args: string[]) {
  return spawnSync(process.execPath, [...NODE, ...args], {
    cwd: ROOT,
    env: { ...process.env, TICKD_KERNELS: choice },
    encoding: 'utf8',
  })
}

for (const choice of KERNEL_CHOICES) {
  const skip = choice === 'native' ? nativeAbsent() : false
  t.test(`${choice}: it is the active one, and decodes as it should`, { skip }, async (t) => {
    const code = `import { activeKernels } from './src/decode/kernels.ts'
      import { activeCopyKernel } from './src/storage/postgres/copy-kernel.ts'
      console.log(activeKernels().name, activeCopyKernel().name)`
    const { name } = chooseAddon(choice)
    const { stdout, stderr } = node(choice, '--input-type=module-typescript', '-e', code)
    t.equal(stdout.trim(), `${name} ${name}`, stderr)
    for (const suite of SUITES) {
      const { status, stdout } = node(choice, `test/unit/decode/${suite}.test.ts`)
      t.equal(status, 0, `${suite}: ${stdout.match(/^ *not ok .*/gm)?.join('; ') ?? 'passes'}`)
    }
  })
}
