// Directories of tests that go when the test's process does, however it went.

import { rmSync } from 'node:fs'

const directories = new Set<string>()

/** Removes the directory when this process exits, if it is there still. */
export function removeAtExit(directory: string): void {
  if (directories.size === 0) process.once('exit', removeAll)
  directories.add(directory)
}

function removeAll(): void {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}
