// Counters and positions as the agents leave them, moved by hand: a daemon of one source and shard.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimulatedClock } from '../../../src/clock.ts'
import { LedgerBook } from '../../../src/ledger/book.ts'
import { Ledger } from '../../../src/ledger/ledger.ts'
import type { LedgerInputs } from '../../../src/ledger/sample.ts'
import { counterNames } from '../../../src/ops/counter-catalog.ts'
import { CounterSet } from '../../../src/ops/counters.ts'
import type { IncidentReport } from '../../../src/ops/incidents.ts'
import { silentLog } from '../../../src/ops/log.ts'

export class CountedDaemon {
  readonly source = new CounterSet(counterNames('source'))
  readonly driven = new CounterSet(counterNames('driven'))
  readonly decode = new CounterSet(counterNames('decode'))
  readonly postgres = new CounterSet(counterNames('postgres'))
  readonly serve = new CounterSet(counterNames('serve'))
  readonly inputs: LedgerInputs
  fillBytes = 0
  published: number
  written: number
  durable: number
  stored: number | undefined

  constructor(startSeq = 0, epoch = 1, journal = 'a') {
    this.published = startSeq
    this.written = startSeq
    this.durable = startSeq
    this.stored = startSeq
    this.postgres.set('connected', 1)
    const { source, driven, decode, postgres, serve } = this
    this.inputs = {
      sources: [{ name: 'push', shard: 0, source, driven, decode }],
      shards: [
        {
          shard: 0,
          startSeq,
          epoch,
          journal,
          fillBytes: () => this.fillBytes,
          published: () => this.published,
          written: () => this.written,
          durable: () => this.durable,
          stored: () => this.stored,
          postgres,
        },
      ],
      serve: [{ role: 'serve', counters: serve }],
    }
  }

  /** A frame of `bytes` is received and waits on the ring. */
  receive(bytes = 100): void {
    this.source.add('frames')
    this.source.add('bytes', bytes)
    this.fillBytes += bytes + 24
  }

  /** A waiting frame is decoded: so many records of each fate, and messages of each other kind. */
  take({ accepted = 0, duplicate = 0, quarantined = 0, ignored = 0, rejected = 0, bytes = 100 }) {
    const { decode } = this
    const records = accepted + duplicate + quarantined
    this.published += accepted
    decode.add('groups_begun')
    decode.add('frames')
    decode.add('bytes', bytes)
    decode.add('messages', records + ignored + rejected)
    decode.add('messages_decoded', records)
    decode.add('ignored_control', ignored)
    decode.add('rejected_bad_json', rejected)
    decode.add('records', records)
    decode.add('records_accepted', accepted)
    decode.add('records_duplicate', duplicate)
    decode.add('records_quarantined', quarantined)
    decode.add('quarantined_null_price', quarantined)
    decode.add('groups')
    this.fillBytes -= bytes + 24
  }

  /** Everything published becomes durable and stored. */
  settle(): void {
    this.written = this.published
    this.durable = this.published
    this.postgres.add('records', this.durable - (this.stored ?? 0))
    this.stored = this.durable
  }
}

/** A ledger on a book in a fresh directory, under a clock moved by hand. */
export class LedgerRig {
  readonly directory: string
  readonly clock: SimulatedClock
  readonly counters = new CounterSet(counterNames('ledger'))
  readonly incidents: IncidentReport[] = []
  readonly daemon: CountedDaemon
  readonly ledger: Ledger

  constructor(
    daemon = new CountedDaemon(),
    directory = join(mkdtempSync(join(tmpdir(), 'tickd-ledger-')), 'ledger'),
    clock = new SimulatedClock(),
  ) {
    this.daemon = daemon
    this.directory = directory
    this.clock = clock
    this.ledger = new Ledger({
      inputs: daemon.inputs,
      stores: () => ({}),
      book: this.book(),
      raise: (report) => this.incidents.push(report),
      clock: this.clock,
      counters: this.counters,
    })
  }

  book(): LedgerBook {
    const { directory, counters } = this
    const retain = { retainDays: 31, retainBytes: 2 ** 28 }
    return new LedgerBook({ directory, ...retain, log: silentLog, counters })
  }

  /** So many seconds pass, each with a sample. */
  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.clock.advance(1000)
      this.ledger.turn()
    }
  }

  remove(): void {
    rmSync(join(this.directory, '..'), { recursive: true, force: true })
  }
}
