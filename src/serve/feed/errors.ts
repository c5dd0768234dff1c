// The closed, numbered list of what the feed answers when it refuses, and of its close codes.
//
// Numbers never change their meaning and are never reused. docs/protocol.md lists them for
// clients; a test compares the two.

export const FEED_ERRORS = {
  bad_json: { code: 1001, meaning: 'the message is not JSON' },
  bad_message: { code: 1002, meaning: 'the message is not an object with an `op`' },
  unknown_op: { code: 1003, meaning: 'no such `op`' },
  bad_field: { code: 1004, meaning: 'a field is missing, misspelled, or of the wrong type' },
  binary_message: { code: 1005, meaning: 'clients send text messages only' },
  rate_limit: { code: 1006, meaning: 'too many messages; wait for `retry_after_ms`' },
  unknown_channel: { code: 2001, meaning: 'no such channel' },
  from_unavailable: { code: 2002, meaning: 'the channel cannot start from there' },
  slow_unavailable: { code: 2003, meaning: 'the channel does not allow this slow policy' },
  unknown_stream: { code: 2004, meaning: 'this connection has no such stream' },
  already_subscribed: { code: 2005, meaning: 'this connection has the same stream already' },
  image_too_large: { code: 2006, meaning: 'the snapshot exceeds the buffer; ask for less' },
  replay_aged_out: {
    code: 2007,
    meaning: 'what was asked for is no longer kept; subscribe live',
  },
  unknown_sequence: { code: 2008, meaning: 'the stream never had this sequence' },
  fill_unavailable: { code: 2009, meaning: 'this stream cannot be filled' },
  replay_failed: {
    code: 2010,
    meaning: 'the journal cannot be read there; the replay has ended',
  },
  update_unavailable: { code: 2011, meaning: 'the symbols of this stream cannot be changed' },
  store_unavailable: {
    code: 2012,
    meaning: 'PostgreSQL, which has what was asked for, does not answer in time; try later',
  },
  subscription_limit: { code: 3001, meaning: 'too many subscriptions on this connection' },
  stream_limit: { code: 3002, meaning: 'too many distinct streams; try later' },
  key_limit: { code: 3004, meaning: 'a limit of the key; try again after `retry_after_ms`' },
  auth_required: { code: 4001, meaning: 'send {"op":"auth","token"} first' },
  bad_token: { code: 4002, meaning: 'the token is not known, has expired or was revoked' },
  forbidden: { code: 4003, meaning: 'the key has no right to this' },
  already_authenticated: { code: 4004, meaning: 'this connection has a token already' },
  replay_limit: { code: 3003, meaning: 'too many replays at once; try later' },
} as const satisfies Record<string, { code: number; meaning: string }>

export type FeedErrorName = keyof typeof FEED_ERRORS

/** WebSocket close codes that the feed uses itself. */
export const CLOSE_CODES = {
  going_away: { code: 1001, meaning: 'the daemon is stopping; connect again' },
  too_large: { code: 1009, meaning: 'a message was longer than `message_bytes`' },
  abuse: { code: 4000, meaning: 'too many refused messages' },
  unauthorized: { code: 4001, meaning: 'no valid token in time, or it was revoked or expired' },
  slow: { code: 4008, meaning: 'read too slowly; the reason is {"stream","last_seq"}' },
} as const satisfies Record<string, { code: number; meaning: string }>

/** Why a book is not whole: told to those who are sent it. Numbered with the errors. */
export const BOOK_NOTICES = {
  book_gap: { code: 5001, meaning: "the venue's own numbers have a hole" },
  book_crossed: { code: 5002, meaning: 'the best bid is not below the best ask' },
  book_incomplete: { code: 5003, meaning: 'no image of the whole book has come yet' },
  book_lost: { code: 5004, meaning: 'records were lost within the daemon' },
} as const satisfies Record<string, { code: number; meaning: string }>
export type BookNoticeName = keyof typeof BOOK_NOTICES

/** A refusal on its way to the client. */
export interface Refusal {
  readonly error: FeedErrorName
  readonly message: string
  readonly retryAfterMs?: number
}

export const REPLAY_RETRY_MS = 1000

export function unknownStream(stream: number): Refusal {
  return { error: 'unknown_stream', message: `no subscription to stream ${stream}` }
}

export function tooManyReplays(): Refusal {
  const message = 'a replay or fill of this stream is under way, or too many are'
  return { error: 'replay_limit', message, retryAfterMs: REPLAY_RETRY_MS }
}

export function errorJson(refusal: Refusal, id: string | number | undefined): string {
  return JSON.stringify({
    op: 'error',
    ...(id === undefined ? {} : { id }),
    code: FEED_ERRORS[refusal.error].code,
    name: refusal.error,
    msg: refusal.message,
    ...(refusal.retryAfterMs === undefined ? {} : { retry_after_ms: refusal.retryAfterMs }),
  })
}
