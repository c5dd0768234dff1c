// Settings of the embedded PostgreSQL: bulk appends from one daemon, a few analysts' queries.

import { join } from 'node:path'

/** A unix socket's address holds so many bytes on every platform (sun_path, with its zero). */
const SOCKET_PATH_BYTES_MAX = 103
const SOCKET_NAME = '/.s.PGSQL.65535'

/** Where its unix socket is; undefined where the path is longer than a socket's address may be. */
export function socketDirectory(directory: string): string | undefined {
  const run = join(directory, 'run')
  return Buffer.byteLength(run + SOCKET_NAME) <= SOCKET_PATH_BYTES_MAX ? run : undefined
}

/** `name=value`, for the server's command line. */
export function serverSettings(directory: string, host: string): string[] {
  return [
    `listen_addresses=${host}`,
    `unix_socket_directories=${socketDirectory(directory) ?? ''}`,
    'max_connections=50',
    'timezone=UTC',
    'log_timezone=UTC',

    // Nobody replicates from it: no log for standbys, and none for a table made by its own COPY.
    'wal_level=minimal',
    'max_wal_senders=0',
    // Appends dirty each page once; few checkpoints mean few full-page images.
    'max_wal_size=4GB',
    'min_wal_size=256MB',
    'checkpoint_timeout=15min',
    'wal_buffers=16MB',
    'shared_buffers=192MB',
    // Said, because each of them is a promise: a crash of the machine loses no committed table.
    'fsync=on',
    'full_page_writes=on',

    // Seven files, each overwritten after a week: the log never fills the disk.
    'logging_collector=on',
    `log_directory=${join(directory, 'log')}`,
    'log_filename=postgresql-%a.log',
    'log_truncate_on_rotation=on',
    'log_rotation_age=1d',
    'log_rotation_size=0',
    'log_checkpoints=off',
  ]
}
