// The record as C++ sees it, and where kernels put records. Offsets are the generated ones.
#ifndef TICKD_TICK_H
#define TICKD_TICK_H

#include <cstddef>

#include "bytes.h"
#include "generated/layout.h"

namespace tickd {

struct Tick {
  std::int64_t ts_event;
  std::int64_t ts_recv;
  std::uint32_t instrument;
  std::uint16_t source;
  std::uint8_t kind;
  std::uint8_t side;
  std::uint16_t flags;
  std::uint8_t action;
  std::uint8_t market;
  std::uint16_t interval;
  std::uint16_t reserved;
  std::int64_t p[4];
};

static_assert(sizeof(Tick) == layout::TICK_BYTES);
static_assert(offsetof(Tick, ts_event) == layout::OFFSET_TS_EVENT);
static_assert(offsetof(Tick, ts_recv) == layout::OFFSET_TS_RECV);
static_assert(offsetof(Tick, instrument) == layout::OFFSET_INSTRUMENT);
static_assert(offsetof(Tick, source) == layout::OFFSET_SOURCE);
static_assert(offsetof(Tick, kind) == layout::OFFSET_KIND);
static_assert(offsetof(Tick, side) == layout::OFFSET_SIDE);
static_assert(offsetof(Tick, flags) == layout::OFFSET_FLAGS);
static_assert(offsetof(Tick, action) == layout::OFFSET_ACTION);
static_assert(offsetof(Tick, market) == layout::OFFSET_MARKET);
static_assert(offsetof(Tick, interval) == layout::OFFSET_INTERVAL);
static_assert(offsetof(Tick, reserved) == layout::OFFSET_RESERVED);
static_assert(offsetof(Tick, p) == layout::OFFSET_P0);

/** The null of every 64-bit field. */
constexpr std::int64_t NULL_VALUE = INT64_MIN;

/** One frame, or a part of one, and what all its records have. */
struct Frame {
  /** Offsets below count from here. */
  const Byte* bytes;
  std::size_t start;
  std::size_t end;
  std::int64_t ts_recv;
  std::uint16_t source;
  /** FLAG bits of every record. */
  std::uint16_t flags;
  /**
   * What lies from `end` up to here can be read as well: it is another's, may change meanwhile, and
   * says nothing. Not above `end` = nothing can.
   */
  std::size_t readable_end = 0;
};

/**
 * Where records go: a batch that may hold some already. A record is made in the slot behind them,
 * field by field (a copy of what was just written in parts would wait for it), and counts once it
 * is added.
 */
struct Batch {
  /** On eight bytes. */
  Byte* ticks;
  /** First byte and end of the message of each record; nullptr = the caller notes them. */
  std::int32_t* origins;
  std::size_t count;
  std::size_t capacity;

  bool is_full() const noexcept { return count >= capacity; }

  /** The next record's, while the batch is not full. */
  Tick& slot() const noexcept { return *reinterpret_cast<Tick*>(ticks + count * sizeof(Tick)); }

  /** Adds the record in the slot. */
  void add() noexcept { count++; }

  void add(std::size_t start, std::size_t end) noexcept {
    origins[2 * count] = static_cast<std::int32_t>(start);
    origins[2 * count + 1] = static_cast<std::int32_t>(end);
    count++;
  }
};

/** Makes `tick` a record of the frame, with all else zero. */
inline void begin(Tick& tick, const Frame& frame, std::uint8_t kind) noexcept {
  tick = {};
  tick.ts_recv = frame.ts_recv;
  tick.source = frame.source;
  tick.flags = frame.flags;
  tick.kind = kind;
}

/** What a kernel did with the text from `start` on. */
struct Outcome {
  /** Where it stopped: the end, or the begin of a message that is left to the JS twin. */
  std::size_t next;
  /** True = it stopped at a message; where that ends. */
  bool is_left;
  std::size_t left_end;
  /** Messages decoded, by kind. */
  std::uint32_t decoded[layout::KIND_COUNT];
};

}  // namespace tickd

#endif
