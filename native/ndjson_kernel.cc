// The kernel of normalised JSON lines: see ndjson_kernel.h.

#include "ndjson_kernel.h"

#include "ndjson_quick.h"

namespace tickd {
namespace {

namespace f = layout::ndjson;

constexpr KeySet KEYS(f::NAMES);
constexpr KeySet TYPES(layout::KIND_WORDS);
constexpr KeySet SIDES(layout::SIDE_WORDS);
constexpr KeySet ACTIONS(layout::ACTION_WORDS);
constexpr KeySet STATUSES(layout::STATUS_WORDS);
constexpr KeySet MARKETS(layout::MARKET_WORDS);
constexpr KeySet FLAGS(layout::FLAG_WORDS);

constexpr std::uint64_t INTERVAL_MINUTES_MAX = 0xffff;

using Fields = Members<f::NAMES.size()>;

/** One line on its way to a record. */
struct Line {
  const Fields& fields;
  const Byte* end;
  /** In the batch's slot. */
  Tick& tick;

  /** The number of a word in its list; 0 where it is absent, -1 where it is none of them. */
  template <std::size_t Count>
  int word(int slot, const KeySet<Count>& words) const noexcept {
    if (fields.is_nothing(slot)) return 0;
    if (fields.type(slot) != Type::string) return -1;
    const Member& member = fields[slot];
    return words.find(member.start, static_cast<std::size_t>(member.end - member.start), end);
  }

  bool is_value(int slot) const noexcept {
    const Type type = fields.type(slot);
    return type == Type::string || type == Type::whole || type == Type::number;
  }

  bool required(int slot, int decimals, std::int64_t& out) const noexcept {
    if (!is_value(slot)) return false;
    return read_decimal(fields[slot].start, fields[slot].end, end, decimals, out);
  }

  bool optional(int slot, int decimals, std::int64_t& out) const noexcept {
    out = NULL_VALUE;
    return fields.is_nothing(slot) || required(slot, decimals, out);
  }

  bool integer(int slot, std::int64_t& out) const noexcept {
    out = NULL_VALUE;
    if (fields.is_nothing(slot)) return true;
    if (!is_value(slot)) return false;
    return read_integer(fields[slot].start, fields[slot].end, end, out);
  }
};

bool read_trade(Line& line) noexcept {
  Tick& tick = line.tick;
  const int side = line.word(f::side, SIDES);
  if (side < 0) return false;
  tick.side = static_cast<std::uint8_t>(side);
  tick.p[3] = NULL_VALUE;
  return line.required(f::price, layout::PRICE_DECIMALS, tick.p[0]) &&
         line.required(f::size, layout::SIZE_DECIMALS, tick.p[1]) &&
         line.integer(f::id, tick.p[2]);
}

bool read_quote(Line& line) noexcept {
  const Fields& fields = line.fields;
  if (fields.is_nothing(f::bid_price) && fields.is_nothing(f::ask_price)) return false;
  Tick& tick = line.tick;
  return line.optional(f::bid_price, layout::PRICE_DECIMALS, tick.p[0]) &&
         line.optional(f::bid_size, layout::SIZE_DECIMALS, tick.p[1]) &&
         line.optional(f::ask_price, layout::PRICE_DECIMALS, tick.p[2]) &&
         line.optional(f::ask_size, layout::SIZE_DECIMALS, tick.p[3]);
}

bool read_book(Line& line) noexcept {
  Tick& tick = line.tick;
  const int side = line.word(f::side, SIDES);
  const int action = line.word(f::action, ACTIONS);
  if (side < 0 || action <= 0) return false;
  const bool is_clear = action == layout::ACTION_CLEAR;
  if (side == layout::SIDE_NONE && !is_clear) return false;
  tick.side = static_cast<std::uint8_t>(side);
  tick.action = static_cast<std::uint8_t>(action);
  tick.p[2] = NULL_VALUE;
  tick.p[3] = NULL_VALUE;
  const bool has_price = is_clear ? line.optional(f::price, layout::PRICE_DECIMALS, tick.p[0])
                                  : line.required(f::price, layout::PRICE_DECIMALS, tick.p[0]);
  if (!has_price) return false;
  return action == layout::ACTION_SET ? line.required(f::size, layout::SIZE_DECIMALS, tick.p[1])
                                      : line.optional(f::size, layout::SIZE_DECIMALS, tick.p[1]);
}

bool read_price(Line& line) noexcept {
  Tick& tick = line.tick;
  const int market = line.word(f::market, MARKETS);
  if (market < 0) return false;
  tick.market = static_cast<std::uint8_t>(market);
  if (!line.fields.is_nothing(f::interval_minutes)) {
    if (line.fields.type(f::interval_minutes) != Type::whole) return false;
    const std::uint64_t minutes = line.fields[f::interval_minutes].whole;
    if (minutes > INTERVAL_MINUTES_MAX) return false;
    tick.interval = static_cast<std::uint16_t>(minutes);
  }
  return line.required(f::price, layout::PRICE_DECIMALS, tick.p[0]) &&
         line.optional(f::energy, layout::PRICE_DECIMALS, tick.p[1]) &&
         line.optional(f::congestion, layout::PRICE_DECIMALS, tick.p[2]) &&
         line.optional(f::loss, layout::PRICE_DECIMALS, tick.p[3]);
}

bool read_status(Line& line) noexcept {
  Tick& tick = line.tick;
  const int status = line.word(f::status, STATUSES);
  if (status <= 0) return false;
  tick.action = static_cast<std::uint8_t>(status);
  tick.p[0] = NULL_VALUE;
  tick.p[3] = NULL_VALUE;
  return line.integer(f::from, tick.p[1]) && line.integer(f::to, tick.p[2]);
}

bool read_payload(Line& line) noexcept {
  switch (line.tick.kind) {
    case layout::KIND_TRADE:
      return read_trade(line);
    case layout::KIND_QUOTE:
      return read_quote(line);
    case layout::KIND_BOOK:
      return read_book(line);
    case layout::KIND_PRICE:
      return read_price(line);
    default:
      return read_status(line);
  }
}

/** The sender's flags, or LAST where it gives none. The array is known to be JSON. */
bool read_flags(const Line& line, std::uint16_t& flags) noexcept {
  flags = layout::FLAG_LAST;
  if (line.fields.is_nothing(f::flags)) return true;
  flags = 0;
  if (line.fields.type(f::flags) != Type::array) return false;
  const Member& member = line.fields[f::flags];
  for (const Byte* at = member.start + 1; at < member.end; at++) {
    if (*at <= ' ' || *at == ',' || *at == ']') continue;
    if (*at != '"') return false;
    const Byte* closing = string_end(at + 1, member.end);
    if (closing == nullptr) return false;
    const int slot = FLAGS.find(at + 1, static_cast<std::size_t>(closing - at - 1), line.end);
    if (slot < 0) return false;
    flags |= static_cast<std::uint16_t>((1u << slot) & layout::SENDER_FLAGS);
    at = closing;
  }
  return true;
}

/** A record that is a replay keeps its time of receipt, if it has one. */
bool keep_receive_time(Line& line, TimeReader& times) noexcept {
  if (!line.fields.has(f::ts_recv)) return true;
  if (line.fields.type(f::ts_recv) != Type::string) return false;
  const Member& member = line.fields[f::ts_recv];
  return times.read(member.start, member.end, line.end, line.tick.ts_recv);
}

bool read_event_time(Line& line, TimeReader& times) noexcept {
  const bool is_price = line.tick.kind == layout::KIND_PRICE;
  const bool is_interval = is_price && line.fields.has(f::interval_start);
  const int slot = is_interval ? f::interval_start : f::ts_event;
  if (line.fields.type(slot) != Type::string) return false;
  const Member& member = line.fields[slot];
  return times.read(member.start, member.end, line.end, line.tick.ts_event);
}

bool read_instrument(Line& line, InstrumentTable& instruments) noexcept {
  if (line.fields.type(f::venue) != Type::string) return false;
  if (line.fields.type(f::symbol) != Type::string) return false;
  const Member& venue = line.fields[f::venue];
  const Member& symbol = line.fields[f::symbol];
  line.tick.instrument =
      instruments.find(venue.start, static_cast<std::size_t>(venue.end - venue.start),
                       symbol.start, static_cast<std::size_t>(symbol.end - symbol.start));
  return line.tick.instrument != 0;
}

/** True = `tick` has become the record of the line [at, end). */
bool read_line(const Frame& frame, const Byte* at, const Byte* end, DecoderState& state,
               Tick& tick) noexcept {
  const Byte* brace = skip_space(at, end);
  if (brace >= end || *brace != '{') return false;
  Fields fields;
  const Byte* next = scan_object(brace, end, KEYS, state.guess, fields);
  if (next == nullptr || skip_space(next, end) != end) return false;
  if (fields.type(f::type) != Type::string) return false;
  const Member& type = fields[f::type];
  const int slot = TYPES.find(type.start, static_cast<std::size_t>(type.end - type.start), end);
  if (slot < 0) return false;
  // Kinds begin at 1, in the order of their words.
  Line line{fields, end, tick};
  begin(tick, frame, static_cast<std::uint8_t>(slot + 1));
  std::uint16_t flags;
  if (!read_flags(line, flags) || !read_event_time(line, state.times)) return false;
  if ((flags & layout::FLAG_REPLAYED) != 0 && !keep_receive_time(line, state.times)) return false;
  tick.flags |= flags;
  return read_payload(line) && read_instrument(line, state.instruments);
}

/** What is left of a frame, where that is little, in memory with room behind it. */
constexpr std::size_t REST_BYTES_MAX = 1024;

/** As read_quick of a line near the frame's end. */
[[gnu::noinline]] std::size_t read_quick_rest(const Frame& frame, std::size_t start,
                                              DecoderState& state, Tick& tick) noexcept {
  const std::size_t size = frame.end - start;
  if (size > REST_BYTES_MAX) return 0;
  Byte text[REST_BYTES_MAX + QuickLine::MEMBER_BYTES];
  std::memcpy(text, frame.bytes + start, size);
  // Zero bytes go on with nothing that is JSON.
  std::memset(text + size, 0, QuickLine::MEMBER_BYTES);
  QuickLine line(frame, text + size + QuickLine::MEMBER_BYTES, state, tick);
  const Byte* next = line.read(text);
  return next == nullptr ? 0 : start + static_cast<std::size_t>(next - text);
}

/** The end of the line at `start`, a plain trade or quote that has become `tick`; otherwise 0. */
std::size_t read_quick(const Frame& frame, std::size_t start, DecoderState& state,
                       Tick& tick) noexcept {
  QuickLine line(frame, frame.bytes + frame.end, state, tick);
  const Byte* next = line.read(frame.bytes + start);
  std::size_t end = next == nullptr ? 0 : static_cast<std::size_t>(next - frame.bytes);
  if (line.is_short()) end = read_quick_rest(frame, start, state, tick);
  return end == 0 || end == frame.end || frame.bytes[end] == '\n' ? end : 0;
}

}  // namespace

Outcome decode_ndjson(const Frame& frame, DecoderState& state, Batch& batch) noexcept {
  Outcome outcome{};
  outcome.next = frame.start;
  do {
    const std::size_t start = outcome.next;
    std::size_t end = batch.is_full() ? 0 : read_quick(frame, start, state, batch.slot());
    if (end == 0) {
      const void* newline = std::memchr(frame.bytes + start, '\n', frame.end - start);
      end = newline == nullptr ? frame.end
                               : static_cast<std::size_t>(static_cast<const Byte*>(newline) -
                                                          frame.bytes);
      if (batch.is_full() ||
          !read_line(frame, frame.bytes + start, frame.bytes + end, state, batch.slot())) {
        outcome.left_end = end;
        outcome.is_left = true;
        return outcome;
      }
    }
    outcome.decoded[batch.slot().kind]++;
    batch.add(start, end);
    outcome.next = end + 1;
  } while (outcome.next < frame.end);
  return outcome;
}

}  // namespace tickd
