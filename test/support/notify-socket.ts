// A unix datagram socket to be notified at, as systemd has one. Node has none: python3 has.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SCRIPT = `
import socket, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + path[1:] if path.startswith('@') else path)
print('bound', flush=True)
while True:
    print(s.recv(4096).decode().replace('\\n', '|'), flush=True)
`

/** Why there can be none here; false when there can. */
export function noNotifySocket(): string | false {
  const has = spawnSync('python3', ['--version']).status === 0
  return has ? false : 'python3, which receives the datagrams, is not on this machine'
}

export class NotifySocket {
  /** Datagrams received, their lines joined by '|'. */
  readonly received: string[] = []
  readonly path: string
  readonly #child: ChildProcess
  readonly #directory: string

  private constructor(path: string, directory: string) {
    this.path = path
    this.#directory = directory
    this.#child = spawn('python3', ['-c', SCRIPT, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    let rest = ''
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      this.received.push(...lines)
    })
  }

  static async open(isAbstract: boolean): Promise<NotifySocket> {
    const directory = mkdtempSync(join(tmpdir(), 'tickd-notify-'))
    const path = join(directory, 'socket')
    const socket = new NotifySocket(isAbstract ? `@${path}` : path, directory)
    await socket.until((line) => line === 'bound')
    return socket
  }

  async until(test: (line: string) => boolean, timeoutMs = 20_000): Promise<string> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const found = this.received.find(test)
      if (found !== undefined) return found
      if (Date.now() > deadline) throw new Error(`not received: ${this.received.join(', ')}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  close(): void {
    this.#child.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
