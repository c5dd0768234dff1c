// Where the daemon keeps its state.

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/**
 * The configured directory; else what systemd made for the unit; else the system's place for root
 * and the user's own for others. Absolute.
 */
export function resolveStateDir(
  config: { readonly state_dir: string },
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (config.state_dir !== '') return resolve(config.state_dir)
  // systemd lists several directories with colons; ours is the first of StateDirectory=.
  const [fromSystemd] = (env.STATE_DIRECTORY ?? '').split(':')
  if (fromSystemd) return resolve(fromSystemd)
  if (process.getuid?.() === 0) return '/var/lib/tickd'
  return join(homedir(), '.local', 'state', 'tickd')
}
