// Operational errors: coded, with the fields a person needs to mend them.
//
// Three kinds of trouble, three fates (STYLE rule 30):
//   a bug         -> `assert`: the agent (or process) stops with context;
//   operational   -> `TickdError`: a code of the closed list below, `canRetry`, `cause`;
//   bad data      -> never an exception: counted by stage and reason, raw bytes kept.

/** The closed list of error codes; `docs/errors.md` explains each (a test compares them). */
export const ERROR_CODES = [
  'USAGE', // the command line or an argument is wrong; exit code 2
  'CONFIG_INVALID', // the configuration has errors; exit code 2
  'STATE_DIR_UNUSABLE', // the state directory cannot be created, written or locked
  'ADDRESS_IN_USE', // a listener's address is taken or not ours
  'ACCESS_INVALID', // API keys, keys of JSON Web Tokens or the certificate cannot be used
  'POSTGRES_UNREACHABLE', // no PostgreSQL answers at the configured address
  'POSTGRES_REFUSED', // PostgreSQL answered and refused (password, rights, database)
  'POSTGRES_CONFLICT', // another daemon writes the same database, or the position is not ours
  'POSTGRES_READ_ONLY', // PostgreSQL answered and takes no writes: a standby, or one failing over
  'POSTGRES_SCHEMA_CHANGED', // the tables are no longer those that tickd made
  'POSTGRES_BROKEN', // a statement or COPY failed in a way that may pass
  'POSTGRES_BINARY_MISSING', // the embedded PostgreSQL is not installed for this platform
  'REDIS_UNREACHABLE', // no Redis answers at the configured address
  'REDIS_REFUSED', // Redis answered and refused (password, rights)
  'JOURNAL_CORRUPT', // a checksum, header or order in the journal is wrong
  'JOURNAL_FULL', // the journal has reached its budget of the disk: ingest is held back
  'JOURNAL_IO', // reading or writing the journal failed; never retried as if nothing happened
  'CAPTURE_INVALID', // a capture file is not in the format that was named
  'AGENT_FAILED', // an agent crashed more often than the supervisor tolerates
  'PROFILE_BUSY', // a profile of that thread is being taken
  'PROFILE_FAILED', // a thread ended or did not answer while it was profiled
  'VENUE_REFUSED', // a venue refused the connection or a subscription
  'IO', // another system call failed; `cause` has the errno
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** An operational error. `message` says what was wrong, where, and what to do about it. */
export class TickdError extends Error {
  readonly code: ErrorCode
  /** True where the same call may succeed later without anybody changing anything. */
  readonly canRetry: boolean

  constructor(
    code: ErrorCode,
    message: string,
    options: { canRetry?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TickdError'
    this.code = code
    this.canRetry = options.canRetry ?? false
  }
}

/** A bug if false. The text names the invariant, in its positive form. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${invariant}`)
}

/** The text of whatever was thrown, on one line. */
export function errorText(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown)
  return text.replace(/\s*\n\s*/g, ' ')
}
