// The kernel of packed ticks: see packed_kernel.h.

#include "packed_kernel.h"

namespace tickd {
namespace {

constexpr std::uint16_t KNOWN_FLAGS = (1u << layout::FLAG_WORDS.size()) - 1;

/** Side, action, market and interval are what the kind has, and zero where it has none. */
bool is_form_of_kind(const Tick& tick) noexcept {
  const bool is_price = tick.kind == layout::KIND_PRICE;
  if (!is_price && (tick.market != 0 || tick.interval != 0)) return false;
  const bool is_sideless = tick.side == layout::SIDE_NONE;
  switch (tick.kind) {
    case layout::KIND_TRADE:
      return tick.side < layout::SIDE_WORDS.size() && tick.action == 0;
    case layout::KIND_BOOK:
      if (is_sideless && tick.action != layout::ACTION_CLEAR) return false;
      return tick.side < layout::SIDE_WORDS.size() && tick.action != layout::ACTION_NONE &&
             tick.action < layout::ACTION_WORDS.size();
    case layout::KIND_STATUS:
      return is_sideless && tick.action != layout::STATUS_NONE &&
             tick.action < layout::STATUS_WORDS.size();
    case layout::KIND_PRICE:
      return is_sideless && tick.action == 0 && tick.market < layout::MARKET_WORDS.size();
    default:
      return is_sideless && tick.action == 0;
  }
}

bool is_good(const Tick& tick, std::uint32_t id_max) noexcept {
  return tick.kind >= 1 && tick.kind < layout::KIND_COUNT && tick.reserved == 0 &&
         (tick.flags & ~KNOWN_FLAGS) == 0 && tick.instrument != 0 && tick.instrument <= id_max &&
         tick.ts_event >= 0 && is_form_of_kind(tick);
}

}  // namespace

Outcome decode_packed(const Frame& frame, const InstrumentTable& instruments,
                      Batch& batch) noexcept {
  Outcome outcome{};
  outcome.next = frame.start;
  const std::uint32_t id_max = instruments.count();
  for (; outcome.next < frame.end; outcome.next += sizeof(Tick)) {
    const std::size_t end = outcome.next + sizeof(Tick);
    outcome.left_end = end;
    outcome.is_left = true;
    if (batch.is_full()) return outcome;
    Tick& tick = batch.slot();
    std::memcpy(&tick, frame.bytes + outcome.next, sizeof tick);
    if (!is_good(tick, id_max)) return outcome;
    outcome.is_left = false;
    tick.flags = static_cast<std::uint16_t>((tick.flags & layout::SENDER_FLAGS) | frame.flags);
    tick.source = frame.source;
    tick.ts_recv = frame.ts_recv;
    outcome.decoded[tick.kind]++;
    batch.add(outcome.next, end);
  }
  return outcome;
}

}  // namespace tickd
