// What a decoder keeps from frame to frame: nothing that changes a result, only memories.
#ifndef TICKD_DECODER_STATE_H
#define TICKD_DECODER_STATE_H

#include "instrument_table.h"
#include "object_scan.h"
#include "symbol_memo.h"
#include "values.h"

namespace tickd {

/** By kind of record; 0 = it is not known yet. */
using NdjsonSuccessors =
    Successors<layout::KIND_COUNT, static_cast<int>(layout::ndjson::NAMES.size())>;

struct DecoderState {
  DecoderState(const Byte* instrument_memory, std::size_t capacity) noexcept
      : instruments(instrument_memory, capacity) {}

  InstrumentTable instruments;
  Guess guess;
  NdjsonSuccessors successors;
  TimeReader times;
  EpochReader epochs;
  /** Of the one venue that a decoder of Binance frames serves. */
  SymbolMemo symbols;
};

}  // namespace tickd

#endif
