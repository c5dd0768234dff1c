// The COPY kernel that serves this thread: native where the kernels are, else the JS reference.

import { assert } from '../../errors.ts'
import { activeAddon, type KernelChoice } from '../../native/addon.ts'
import { type CopyKernel, jsCopyKernel } from './encode.ts'
import { COLUMN_COUNT } from './tables.ts'

/** The kernel of a choice. One call across the boundary encodes all rows of a piece. */
export function copyKernelOf({ addon }: KernelChoice): CopyKernel {
  if (addon === undefined) return jsCopyKernel
  return Object.freeze({
    name: 'native',
    encode: (kind, batch, order, from, to, shard, firstSeq, out, offset) => {
      assert((COLUMN_COUNT[kind] as number) > 0, 'a stored tick is of a known kind')
      return addon.encodeCopy(kind, batch.bytes, order, from, to, shard, firstSeq, out, offset)
    },
  } satisfies CopyKernel)
}

let active: CopyKernel | undefined

/** What the environment chose, once a thread. */
export function activeCopyKernel(): CopyKernel {
  active ??= copyKernelOf(activeAddon())
  return active
}
