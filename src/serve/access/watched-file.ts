// A file that is read anew when it changes. Looked at, not watched: a mounted secret is replaced by
// a rename somewhere above it, of which no watcher of the file is told.

import { statSync } from 'node:fs'

export class WatchedFile {
  readonly path: string
  #seen: string

  constructor(path: string) {
    this.path = path
    this.#seen = fingerprint(path)
  }

  /** Whether it has changed since it was last asked, or came, or went. */
  hasChanged(): boolean {
    const now = fingerprint(this.path)
    if (now === this.#seen) return false
    this.#seen = now
    return true
  }
}

function fingerprint(path: string): string {
  try {
    const stat = statSync(path, { bigint: true })
    return `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`
  } catch {
    // Away, or out of reach: who reads it says which.
    return ''
  }
}
