// Entry of the thread that reads dead letters and drives them again. It lives for as long as there
// are calls: reading files and decoding what was refused before is nothing for a thread of the
// pipeline, nor for main. One call at a time; main sees to that, and ends a call that takes long.

import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { errorText, TickdError } from '../errors.ts'
import { idText } from '../journal/identity.ts'
import { JournalReader } from '../journal/reader.ts'
import { GATING_SLOT, POSITION } from '../pipeline.ts'
import { FeedbackReceiver } from '../ring/feedback.ts'
import { FrameRingProducer } from '../ring/frame-ring.ts'
import { TickRingConsumer } from '../ring/tick-ring.ts'
import { InstrumentLog } from '../tick/instrument-log.ts'
import { LetterBook } from '../validate/dead-letter-book.ts'
import { SettlementLog } from '../validate/dead-letter-log.ts'
import { purgeLetters } from '../validate/dead-letter-purge.ts'
import { LetterReplay, type ReplayResult } from '../validate/dead-letter-replay.ts'
import { listLetters, showLetter, summarizeLetters } from '../validate/dead-letter-report.ts'
import type { LettersAnswer, LettersCall } from './letters-call.ts'
import { LettersDecoder } from './letters-decoder.ts'
import type { LettersWorkerData } from './letters-desk.ts'
import { Lanes, type LetterLane } from './letters-lanes.ts'
import { threadOf } from './plan.ts'
import { Shared } from './shared-memory.ts'

const { runtime, threads, memory } = workerData as LettersWorkerData
const instrumentLog = new InstrumentLog(runtime.paths.instruments)
const shared = new Shared(memory, instrumentLog.append)
const counters = shared.counters('letters')
const driven = runtime.config.sources.map(({ name }) => shared.counters('driven', name))
const lanes = new Lanes(
  memory.shards.map((_, shard) => laneOf(shard)),
  (source, bytes) => {
    driven[source]?.add('frames')
    driven[source]?.add('bytes', bytes)
  },
)
const decoder = new LettersDecoder({ config: runtime.config, instruments: shared.instruments })

parentPort?.on('message', async ({ id, call }: { id: number; call: LettersCall }) => {
  parentPort?.postMessage({ id, answer: await answer(call) })
})

/** Nobody else writes it while the daemon runs: read once, and again after a failure. */
let log: SettlementLog | undefined

async function answer(call: LettersCall): Promise<LettersAnswer> {
  try {
    log ??= new SettlementLog(runtime.paths.deadLetters)
    return { value: await carryOut(call, new LetterBook(runtime.paths.deadLetters, log)) }
  } catch (error) {
    log?.close()
    log = undefined
    const code = error instanceof TickdError ? error.code : 'IO'
    return { code, message: errorText(error) }
  }
}

async function carryOut(call: LettersCall, book: LetterBook): Promise<object | undefined> {
  switch (call.op) {
    case 'list':
      return listLetters(book, call.filter, call.limit, shared.instruments)
    case 'summary':
      return summarizeLetters(book, call.filter)
    case 'show': {
      const entry = book.find(call.id)
      return entry === undefined ? undefined : showLetter(entry, shared.instruments)
    }
    case 'purge': {
      const result = purgeLetters(book, call.filter, { ownsAll: false })
      counters.add('purged', result.purged)
      return result
    }
    case 'replay': {
      const replay = new LetterReplay({ book, lanes, read: (letter) => decoder.read(letter) })
      const result = await replay.run(call.request)
      if (!call.request.dryRun) count(result)
      return result
    }
  }
}

function count({ settled, records, refused }: ReplayResult): void {
  for (const [as, letters] of Object.entries(settled)) {
    if (as !== 'purged') counters.add(as as 'recovered', letters)
  }
  counters.add('records', records)
  for (const letters of Object.values(refused)) counters.add('refused', letters)
}

function laneOf(shard: number): LetterLane {
  const { ticks, firstSeq, identity } = shared.shard(shard)
  const { frames, feedback } = shared.way(shard, 'letters')
  const decode = threadOf(threads, 'decode', shard)
  const durable = shared.position(shard, POSITION.durable)
  const oldest = shared.position(shard, POSITION.oldest)
  return {
    producer: new FrameRingProducer(frames, decode && shared.bell(decode)),
    feedback: new FeedbackReceiver(feedback),
    journal: idText(identity.journalId),
    durable: () => durable.load(),
    oldest: () => oldest.load(),
    published: () => {
      // A consumer made anew stands where the journal is: it is read, and writes nothing.
      const journal = new TickRingConsumer(ticks, GATING_SLOT.journal, firstSeq)
      return journal.seq + journal.available()
    },
    openReader: (fromSeq) => {
      const directory = join(runtime.paths.journal, `shard-${shard}`)
      return new JournalReader({ directory, fromSeq, durable: () => durable.load() })
    },
  }
}
