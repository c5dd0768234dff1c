// What a figure was measured on: stated with every result.

import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { activeKernels } from '../src/decode/kernels.ts'

export interface Machine {
  cpu: string
  cores: number
  memoryGib: number
  kernel: string
  node: string
  /** js or native. */
  kernels: string
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    kernels: activeKernels().name,
  }
}

export function machineText(m: Machine): string {
  return (
    `machine: ${m.cpu}, ${m.cores} cores, ${m.memoryGib} GiB, Linux ${m.kernel}; ` +
    `Node ${m.node}; kernels ${m.kernels}\n`
  )
}
