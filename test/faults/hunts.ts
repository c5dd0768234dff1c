// How each planted bug shows soonest: the faults to draw from, and those the daemon starts with.

import type { PlantedBug } from '../../src/threads/planted-bugs.ts'
import type { ArmedFault } from './site.ts'

export interface Hunt {
  readonly faults: readonly string[]
  readonly armed: readonly ArmedFault[]
}

const HANG_AT_MS = 200
/** While the journal writes nothing, nothing may be acknowledged. */
const SILENT_JOURNAL: ArmedFault = {
  kind: 'agent-hang',
  entry: `journal-0:hang@${HANG_AT_MS}`,
  afterMs: HANG_AT_MS,
}

export const HUNTS: Readonly<Record<PlantedBug, Hunt>> = {
  'ack-early': { faults: ['daemon-kill'], armed: [SILENT_JOURNAL] },
  'forget-batches': { faults: ['daemon-kill', 'tcp-cut'], armed: [] },
  // Always there.
  'store-swap': { faults: ['http-cut'], armed: [] },
  'feed-hole': { faults: ['http-cut'], armed: [] },
}
