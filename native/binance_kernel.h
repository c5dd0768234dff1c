// Binance JSON -> records: trades, aggregate trades, quotes, and the levels of depth updates.
//
// The twin of src/decode/binance.ts for messages that it accepts; every other one is left to it.
// Whether a depth update applies is judged by JS (depth-sync.ts): its levels are written behind the
// batch's count, which stays as it is.
#ifndef TICKD_BINANCE_KERNEL_H
#define TICKD_BINANCE_KERNEL_H

#include "decoder_state.h"
#include "tick.h"

namespace tickd {

enum class BinanceCode : int { left = 0, trade = 1, quote = 2, depth = 3 };

struct BinanceVenue {
  const Byte* name;
  std::size_t size;
  /** USD-M futures: a depth update says which one it follows. */
  bool chains_by_previous;
};

/**
 * Frames decoded in one crossing. Those of a stage's group are a multiple (GROUP_FRAMES_MAX), so
 * that none is decoded for nothing where a group ends.
 */
constexpr std::size_t FRAMES_AT_ONCE = 16;

/** A depth update whose levels are written at [batch.count, batch.count + level_count). */
struct DepthUpdate {
  std::uint32_t instrument;
  std::size_t level_count;
  std::uint64_t first;
  std::uint64_t last;
  /** The id that it follows; -1 where the first one is 0. */
  std::int64_t previous;
};

/** Decodes the one message of a frame. `depth` is written where the code says so. */
BinanceCode decode_binance(const Frame& frame, const BinanceVenue& venue, DecoderState& state,
                           Batch& batch, DepthUpdate& depth) noexcept;

/**
 * Decodes the frames behind `frame` on its ring, up to `end`, for as long as they are plain trades
 * or quotes, and there is room: their records are added to `batch`, each with its origin. Changes
 * nothing else: whoever comes to such a frame may decode it again.
 */
void decode_binance_ahead(const Frame& frame, std::size_t end, const BinanceVenue& venue,
                          DecoderState& state, Batch& batch) noexcept;

}  // namespace tickd

#endif
