// Is the journal that we find the one that the database was stored from? Asked before it is opened.
//
//   journal   database                        what is done
//   new       empty                           begins at 0
//   new       has records                     lost: begins beyond them, with an incident
//   new       does not answer                 begins where no other can have been (by the clock)
//   there     ends within the journal         goes on: what is missing is stored from the journal
//   there     ends beyond it, same journal    rolled back: set aside, a new one begins beyond
//   there     of another journal              goes on; the store refuses, unless it began beyond
//
// A new journal must not use a sequence twice, nor an epoch: rows, and subscribers who resume, name
// records by them. It begins further on than any journal can have got that the database knows of.

import type { Origin } from '../journal/recovery.ts'
import type { IncidentReport } from '../ops/incidents.ts'
import type { StoredPosition } from '../storage/postgres/positions.ts'

/** What may lie between the database's position and the end of a journal that was lost. */
const SEQ_STEP = 2 ** 32
const EPOCH_STEP = 2 ** 16
/** Sequences a second: 2^48 of them last for 136 years. */
const SEQ_PER_SECOND = 2 ** 16
/** 2026-01-01T00:00:00Z, in seconds. */
const FIRST_SEC = 1_767_225_600

export interface FoundJournal {
  readonly shard: number
  /** There is none. */
  readonly isNew: boolean
  /** Its id, '' when not known, and where its records end. */
  readonly id: string
  readonly nextSeq: number
}

/** What the database said: a position, or nothing stored; undefined = it did not answer. */
export type Answer = { readonly position: StoredPosition | undefined } | undefined

export interface Judgement {
  /** Where a new journal begins; undefined: the one that is there goes on. */
  readonly origin: Origin | undefined
  /** The one that is there is to be set aside first. */
  readonly isRolledBack: boolean
  readonly incident: IncidentReport | undefined
}

const GO_ON: Judgement = { origin: undefined, isRolledBack: false, incident: undefined }

/** `nowSec`: wall time. */
export function judgeJournal(found: FoundJournal, answer: Answer, nowSec: number): Judgement {
  const { shard, isNew, id, nextSeq } = found
  if (answer === undefined) return isNew ? { ...GO_ON, origin: byTheClock(nowSec) } : GO_ON
  const { position } = answer
  if (position === undefined) return GO_ON
  const isRolledBack =
    !isNew && position.journal !== '' && position.journal === id && position.seq > nextSeq
  if (!isNew && !isRolledBack) return GO_ON
  const origin = beyond(position)
  const summary = isRolledBack
    ? `The journal of shard ${shard} ends before what the database has from it: it was rolled back`
    : `The journal of shard ${shard} is gone, and the database has records of it`
  const evidence = {
    shard,
    stored_seq: position.seq,
    stored_epoch: position.epoch,
    stored_journal: position.journal,
    journal_ends: isNew ? null : nextSeq,
    begins_at: origin.firstSeq,
    epoch: origin.epoch,
  }
  const incident = { kind: 'journal_lost', severity: 'critical', summary, evidence } as const
  return { origin, isRolledBack, incident }
}

function beyond({ seq, epoch }: StoredPosition): Origin {
  return {
    firstSeq: (Math.floor(seq / SEQ_STEP) + 2) * SEQ_STEP,
    epoch: (Math.floor(epoch / EPOCH_STEP) + 2) * EPOCH_STEP,
  }
}

function byTheClock(nowSec: number): Origin {
  const sec = Math.max(1, nowSec - FIRST_SEC)
  return { firstSeq: sec * SEQ_PER_SECOND, epoch: sec }
}
