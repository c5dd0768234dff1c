// The kernel of Binance JSON: see binance_kernel.h.

#include "binance_kernel.h"

#include "binance_quick.h"
#include "frames_behind.h"

namespace tickd {
namespace {

namespace m = layout::binance;

constexpr KeySet KEYS(m::NAMES);
using Payload = Members<m::NAMES.size()>;

/** One message on its way to a record. */
struct Message {
  const Payload& payload;
  const Byte* end;
  /** In the batch's slot. */
  Tick& tick;

  bool decimal(int slot, int decimals, std::int64_t& out) const noexcept {
    if (payload.type(slot) != Type::string) return false;
    const Member& member = payload[slot];
    return read_decimal(member.start, member.end, end, decimals, out);
  }

  bool integer(int slot, std::int64_t& out) const noexcept {
    const Type type = payload.type(slot);
    const Member& member = payload[slot];
    if (type == Type::number) return read_integer(member.start, member.end, end, out);
    if (type != Type::whole) return false;
    out = static_cast<std::int64_t>(member.whole);
    return true;
  }

  /** A whole number that a double holds exactly. */
  bool id(int slot, std::uint64_t& out) const noexcept {
    if (payload.type(slot) != Type::whole || payload[slot].whole > WHOLE_MAX) return false;
    out = payload[slot].whole;
    return true;
  }

  bool event_time() noexcept {
    const int slot = payload.has(m::T) ? m::T : m::E;
    return payload.type(slot) == Type::whole && read_epoch(payload[slot].whole, tick.ts_event);
  }

  bool instrument(const BinanceVenue& venue, InstrumentTable& instruments) noexcept {
    if (payload.type(m::s) != Type::string) return false;
    const Member& member = payload[m::s];
    const std::size_t size = static_cast<std::size_t>(member.end - member.start);
    tick.instrument = instruments.find(venue.name, venue.size, member.start, size);
    return tick.instrument != 0;
  }
};

bool read_trade(Message& message, int id_slot) noexcept {
  const Type maker = message.payload.type(m::m);
  if (maker != Type::yes && maker != Type::no) return false;
  Tick& tick = message.tick;
  tick.kind = layout::KIND_TRADE;
  tick.side = maker == Type::yes ? layout::SIDE_SELL : layout::SIDE_BUY;
  tick.p[3] = NULL_VALUE;
  return message.event_time() && message.decimal(m::p, layout::PRICE_DECIMALS, tick.p[0]) &&
         message.decimal(m::q, layout::SIZE_DECIMALS, tick.p[1]) &&
         message.integer(id_slot, tick.p[2]);
}

bool read_quote(Message& message) noexcept {
  Tick& tick = message.tick;
  tick.kind = layout::KIND_QUOTE;
  const Payload& payload = message.payload;
  // Spot sends no time: that of receipt.
  if (!payload.has(m::T) && !payload.has(m::E)) tick.ts_event = tick.ts_recv;
  else if (!message.event_time()) return false;
  return message.decimal(m::b, layout::PRICE_DECIMALS, tick.p[0]) &&
         message.decimal(m::B, layout::SIZE_DECIMALS, tick.p[1]) &&
         message.decimal(m::a, layout::PRICE_DECIMALS, tick.p[2]) &&
         message.decimal(m::A, layout::SIZE_DECIMALS, tick.p[3]);
}

/** The decimal string at `at`; behind its closing quote, or nullptr. */
const Byte* read_level_value(const Byte* at, const Byte* end, int decimals,
                             std::int64_t& out) noexcept {
  if (at >= end || *at != '"') return nullptr;
  const Byte* closing = string_end(at + 1, end);
  if (closing == nullptr) return nullptr;
  return read_decimal(at + 1, closing, end, decimals, out) ? closing + 1 : nullptr;
}

/** `["price","quantity"]` at `at`: exactly two, or it is left to the twin. */
const Byte* read_level(const Byte* at, const Byte* end, Tick& tick) noexcept {
  if (at >= end || *at != '[') return nullptr;
  const Byte* next = read_level_value(skip_space(at + 1, end), end, layout::PRICE_DECIMALS,
                                      tick.p[0]);
  if (next == nullptr) return nullptr;
  next = skip_space(next, end);
  if (next >= end || *next != ',') return nullptr;
  next = read_level_value(skip_space(next + 1, end), end, layout::SIZE_DECIMALS, tick.p[1]);
  if (next == nullptr) return nullptr;
  next = skip_space(next, end);
  if (next >= end || *next != ']') return nullptr;
  tick.action = tick.p[1] == 0 ? layout::ACTION_DELETE : layout::ACTION_SET;
  return next + 1;
}

/** Writes a record a level behind `batch`, which is a copy. The array is known to be JSON. */
bool write_levels(const Message& message, const Tick& like, int slot, std::uint8_t side,
                  Batch& batch) noexcept {
  if (message.payload.type(slot) != Type::array) return false;
  const Byte* end = message.payload[slot].end;
  const Byte* next = skip_space(message.payload[slot].start + 1, end);
  if (*next == ']') return true;
  Tick head = like;
  head.side = side;
  for (;;) {
    if (batch.is_full()) return false;
    Tick& tick = batch.slot();
    tick = head;
    next = read_level(next, end, tick);
    if (next == nullptr) return false;
    batch.add();
    next = skip_space(next, end);
    if (*next == ']') return true;
    next = skip_space(next + 1, end);
  }
}

bool read_depth(Message& message, const BinanceVenue& venue, const Batch& batch,
                DepthUpdate& depth) noexcept {
  if (!message.id(m::U, depth.first) || !message.id(m::u, depth.last)) return false;
  depth.previous = static_cast<std::int64_t>(depth.first) - 1;
  if (venue.chains_by_previous) {
    std::uint64_t previous;
    if (!message.id(m::pu, previous)) return false;
    depth.previous = static_cast<std::int64_t>(previous);
  }
  if (depth.first > depth.last || depth.previous >= static_cast<std::int64_t>(depth.first)) {
    return false;
  }
  if (!message.event_time()) return false;
  Tick& tick = message.tick;
  tick.kind = layout::KIND_BOOK;
  tick.p[2] = static_cast<std::int64_t>(depth.last);
  tick.p[3] = NULL_VALUE;
  depth.instrument = tick.instrument;
  // The slot is the first level's.
  const Tick like = tick;
  Batch levels = batch;
  if (!write_levels(message, like, m::b, layout::SIDE_BUY, levels)) return false;
  if (!write_levels(message, like, m::a, layout::SIDE_SELL, levels)) return false;
  depth.level_count = levels.count - batch.count;
  return true;
}

bool is_text(const Member& member, std::string_view text) noexcept {
  return static_cast<std::size_t>(member.end - member.start) == text.size() &&
         std::memcmp(member.start, text.data(), text.size()) == 0;
}

/** A payload without an event type that can be nothing but a quote. */
bool is_plain_quote(const Payload& payload) noexcept {
  for (const int other : {m::lastUpdateId, m::result, m::error, m::code, m::msg}) {
    if (payload.has(other)) return false;
  }
  return payload.type(m::B) == Type::string && payload.type(m::A) == Type::string;
}

/** What the payload is, by its event type; `left` where the twin has to see. */
BinanceCode code_of(const Payload& payload, int& id_slot) noexcept {
  const Type type = payload.type(m::e);
  if (type == Type::absent) return is_plain_quote(payload) ? BinanceCode::quote : BinanceCode::left;
  if (type != Type::string) return BinanceCode::left;
  const Member& event = payload[m::e];
  id_slot = m::t;
  if (is_text(event, "trade")) return BinanceCode::trade;
  id_slot = m::a;
  if (is_text(event, "aggTrade")) return BinanceCode::trade;
  if (is_text(event, "bookTicker")) return BinanceCode::quote;
  return is_text(event, "depthUpdate") ? BinanceCode::depth : BinanceCode::left;
}

/** As decode_binance, of any message. */
[[gnu::noinline]] BinanceCode decode_fully(const Frame& frame, const BinanceVenue& venue,
                                           DecoderState& state, Batch& batch,
                                           DepthUpdate& depth) noexcept {
  const Byte* end = frame.bytes + frame.end;
  const Byte* brace = skip_space(frame.bytes + frame.start, end);
  if (brace >= end || *brace != '{') return BinanceCode::left;
  Payload outer;
  Payload inner;
  const Byte* next = scan_object<m::data>(brace, end, KEYS, state.guess, outer, &inner);
  if (next == nullptr || skip_space(next, end) != end) return BinanceCode::left;
  const bool is_combined = outer.type(m::stream) == Type::string;
  if (is_combined && outer.type(m::data) != Type::object) return BinanceCode::left;
  const Payload& payload = is_combined ? inner : outer;
  int id_slot = m::t;
  const BinanceCode code = code_of(payload, id_slot);
  if (code == BinanceCode::left) return code;
  Message message{payload, end, batch.slot()};
  begin(message.tick, frame, 0);
  if (!message.instrument(venue, state.instruments)) return BinanceCode::left;
  if (code == BinanceCode::depth) {
    return read_depth(message, venue, batch, depth) ? code : BinanceCode::left;
  }
  message.tick.flags |= layout::FLAG_LAST;
  const bool is_good =
      code == BinanceCode::trade ? read_trade(message, id_slot) : read_quote(message);
  if (!is_good) return BinanceCode::left;
  batch.add();
  return code;
}

/** As read_quick of a frame near the memory's end. */
[[gnu::noinline]] BinanceCode read_quick_copy(const Frame& frame, const BinanceVenue& venue,
                                              DecoderState& state, Tick& tick) noexcept {
  const std::size_t size = frame.end - frame.start;
  Byte text[BinanceQuick::LOOK_BYTES];
  std::memcpy(text, frame.bytes + frame.start, size);
  // Zero bytes go on with nothing that is JSON.
  std::memset(text + size, 0, sizeof text - size);
  return BinanceQuick(venue, state, tick).read(frame, text, text + size);
}

/** Trade or quote: the frame is a plain one, and has become the tick. */
BinanceCode read_quick(const Frame& frame, const BinanceVenue& venue, DecoderState& state,
                       Tick& tick) noexcept {
  if (frame.end - frame.start > BinanceQuick::FRAME_BYTES_MAX) return BinanceCode::left;
  const std::size_t look_end = frame.start + BinanceQuick::LOOK_BYTES;
  if (look_end > frame.readable_end) [[unlikely]] {
    return read_quick_copy(frame, venue, state, tick);
  }
  BinanceQuick quick(venue, state, tick);
  return quick.read(frame, frame.bytes + frame.start, frame.bytes + frame.end);
}

}  // namespace

BinanceCode decode_binance(const Frame& frame, const BinanceVenue& venue, DecoderState& state,
                           Batch& batch, DepthUpdate& depth) noexcept {
  if (batch.is_full()) return BinanceCode::left;
  const BinanceCode code = read_quick(frame, venue, state, batch.slot());
  if (code == BinanceCode::left) return decode_fully(frame, venue, state, batch, depth);
  batch.add();
  return code;
}

void decode_binance_ahead(const Frame& frame, std::size_t end, const BinanceVenue& venue,
                          DecoderState& state, Batch& batch) noexcept {
  const FramesBehind behind(frame, end);
  Frame next = frame;
  for (std::size_t i = 1; i < FRAMES_AT_ONCE && !batch.is_full() && behind.next(next); i++) {
    if (read_quick(next, venue, state, batch.slot()) == BinanceCode::left) return;
    batch.add(next.start, next.end);
  }
}

}  // namespace tickd
