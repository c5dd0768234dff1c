// The quick way of normalised trades, quotes and books: nearly all lines of a push, in one pass.
//
// A sender writes its lines alike. So a member's name is compared with the one that came behind the
// member before it last time, and its value is read straight into the record: no look-up, and no
// span that is read again. Members may come in any order, and others between them. What is not in
// its plain form (white space but one behind a colon or comma, flags but ["last"]), there twice, or
// missing makes it give up, and the full kernel reads the line. What it takes it has checked as
// strictly as that one, and read to the same record.
//
// Invariants: no function reads at or beyond `end`; a guess is compared, never trusted.
#ifndef TICKD_NDJSON_QUICK_H
#define TICKD_NDJSON_QUICK_H

#include <initializer_list>

#include "decoder_state.h"
#include "tick.h"

namespace tickd {

class QuickLine {
 public:
  /** A member is read where so many bytes may be: any key and value that is plain, and more. */
  static constexpr std::ptrdiff_t MEMBER_BYTES = 64;

  QuickLine(const Frame& frame, const Byte* end, DecoderState& state, Tick& tick) noexcept
      : frame_(frame), end_(end), state_(state), tick_(tick) {}

  /** Behind the object at `at`, of which the tick was made; nullptr = it gave up. */
  const Byte* read(const Byte* at) noexcept {
    const Byte* next = at;
    if (!has_room(next)) return too_short();
    if (*next != '{') return nullptr;
    next++;
    tick_.side = layout::SIDE_NONE;
    tick_.action = layout::ACTION_NONE;
    for (std::int64_t& value : tick_.p) value = NULL_VALUE;
    std::uint32_t seen = 0;
    int before = NdjsonSuccessors::BEGIN;
    int slot = state_.successors.of(kind_, before);
    for (;;) {
      if (!has_room(next)) return too_short();
      if (*next == ' ') [[unlikely]] next++;
      const Byte* behind = member(slot, next);
      if (behind == nullptr) {
        const int found = quick_slot(next, end_);
        if (found == NO_KEY || found == slot) return nullptr;
        if (found != OTHER_KEY) {
          state_.successors.learn(kind_, before, found);
          slot = found;
          continue;
        }
        behind = skip_member(next, end_);
        if (behind == nullptr) return nullptr;
      } else {
        if ((seen >> slot & 1) != 0) return nullptr;
        seen |= 1u << slot;
        before = slot;
        slot = state_.successors.of(kind_, before);
      }
      next = behind;
      if (*next != ',') break;
      next++;
    }
    return *next == '}' && is_whole(seen) && finish() ? next + 1 : nullptr;
  }

  /** True = it gave up because the memory's end is near, and for nothing else. */
  bool is_short() const noexcept { return is_short_; }

  std::uint8_t kind() const noexcept { return kind_; }

 private:
  using Keys = KeySet<layout::ndjson::NAMES.size()>;
  static constexpr Keys KEYS{layout::ndjson::NAMES};

  static constexpr std::uint32_t bits(std::initializer_list<int> slots) noexcept {
    std::uint32_t all = 0;
    for (const int slot : slots) all |= 1u << slot;
    return all;
  }

  /** A word of up to eight bytes as it stands in text, with its quotes. */
  struct Word {
    std::uint64_t bytes = 0;
    std::uint64_t mask = 0;
    std::size_t size = 0;

    consteval explicit Word(std::string_view text) : size(text.size()) {
      for (std::size_t i = 0; i < size; i++) {
        bytes |= static_cast<std::uint64_t>(static_cast<Byte>(text[i])) << (i * 8);
        mask |= 0xffull << (i * 8);
      }
    }
    bool is_at(std::uint64_t text) const noexcept { return ((text ^ bytes) & mask) == 0; }
  };

  struct Text {
    const Byte* start = nullptr;
    std::size_t size = 0;
  };

  bool has_room(const Byte* at) const noexcept { return end_ - at >= MEMBER_BYTES; }

  const Byte* too_short() noexcept {
    is_short_ = true;
    return nullptr;
  }

  /** At the value behind the slot's key at `at`, which has room; nullptr where it is another. */
  template <int Slot>
  const Byte* key(const Byte* at) const noexcept {
    const Byte* value = KEYS.behind(Slot, at, at + MEMBER_BYTES);
    if (value == nullptr) return nullptr;
    if (*value == ' ') [[unlikely]] value++;
    return value;
  }

  /** Behind the member at `at`, which is read; nullptr where it is not the slot's, or not plain. */
  [[gnu::always_inline]] const Byte* member(int slot, const Byte* at) noexcept {
    namespace f = layout::ndjson;
    constexpr int PRICE = layout::PRICE_DECIMALS;
    constexpr int SIZE = layout::SIZE_DECIMALS;
    switch (slot) {
      case f::type:
        return read_type(key<f::type>(at));
      case f::venue:
        return read_string(key<f::venue>(at), venue_);
      case f::symbol:
        return read_string(key<f::symbol>(at), symbol_);
      case f::ts_event:
        return read_time(key<f::ts_event>(at));
      case f::flags:
        return read_flags(key<f::flags>(at));
      case f::action:
        return read_action(key<f::action>(at));
      case f::side:
        return read_side(key<f::side>(at));
      case f::price:
        return read_decimal_member(key<f::price>(at), PRICE, tick_.p[0]);
      case f::size:
        return read_decimal_member(key<f::size>(at), SIZE, tick_.p[1]);
      case f::id:
        return read_id(key<f::id>(at));
      case f::bid_price:
        return read_decimal_member(key<f::bid_price>(at), PRICE, tick_.p[0]);
      case f::bid_size:
        return read_decimal_member(key<f::bid_size>(at), SIZE, tick_.p[1]);
      case f::ask_price:
        return read_decimal_member(key<f::ask_price>(at), PRICE, tick_.p[2]);
      case f::ask_size:
        return read_decimal_member(key<f::ask_size>(at), SIZE, tick_.p[3]);
      case f::ts_recv: {
        // Ours to give: only a replay's counts, and its flags are not ["last"].
        Text ignored;
        return read_string(key<f::ts_recv>(at), ignored);
      }
      default:
        return nullptr;
    }
  }

  const Byte* read_type(const Byte* at) noexcept {
    if (at == nullptr) return nullptr;
    constexpr Word TRADE("\"trade\"");
    constexpr Word QUOTE("\"quote\"");
    constexpr Word BOOK("\"book\"");
    const std::uint64_t text = load_u64(at);
    if (TRADE.is_at(text)) kind_ = layout::KIND_TRADE;
    else if (QUOTE.is_at(text)) kind_ = layout::KIND_QUOTE;
    else if (BOOK.is_at(text)) kind_ = layout::KIND_BOOK;
    else return nullptr;
    return at + (kind_ == layout::KIND_BOOK ? BOOK.size : TRADE.size);
  }

  const Byte* read_action(const Byte* at) noexcept {
    if (at == nullptr) return nullptr;
    constexpr Word SET("\"set\"");
    constexpr Word DELETE("\"delete\"");
    const std::uint64_t text = load_u64(at);
    const bool is_set = SET.is_at(text);
    if (!(is_set | DELETE.is_at(text))) return nullptr;
    tick_.action = is_set ? layout::ACTION_SET : layout::ACTION_DELETE;
    return at + (is_set ? SET.size : DELETE.size);
  }

  const Byte* read_side(const Byte* at) noexcept {
    if (at == nullptr) return nullptr;
    constexpr Word BUY("\"buy\"");
    constexpr Word SELL("\"sell\"");
    // Sides come at random: no branch on which it is.
    const std::uint64_t text = load_u64(at);
    const bool is_buy = BUY.is_at(text);
    if (!(is_buy | SELL.is_at(text))) return skip_null(at);
    tick_.side = is_buy ? layout::SIDE_BUY : layout::SIDE_SELL;
    return at + (is_buy ? BUY.size : SELL.size);
  }

  static const Byte* skip_null(const Byte* at) noexcept {
    constexpr std::uint32_t NULL_TEXT = 0x6c6c756e;
    return load_u32(at) == NULL_TEXT ? at + 4 : nullptr;
  }

  const Byte* read_flags(const Byte* at) noexcept {
    constexpr Word LAST("[\"last\"]");
    return at != nullptr && LAST.is_at(load_u64(at)) ? at + LAST.size : nullptr;
  }

  const Byte* read_string(const Byte* at, Text& out) const noexcept {
    if (at == nullptr || *at != '"') return nullptr;
    out.start = at + 1;
    const Byte* closing = string_end(out.start, end_);
    if (closing == nullptr || end_ - closing < 2) return nullptr;
    out.size = static_cast<std::size_t>(closing - out.start);
    return closing + 1;
  }

  const Byte* read_time(const Byte* at) noexcept {
    if (at == nullptr || *at != '"') return nullptr;
    const Byte* closing = state_.times.read_same_second(at + 1, tick_.ts_event);
    if (closing != nullptr) return closing + 1;
    return read_new_second(at + 1, end_, state_.times, tick_.ts_event);
  }

  [[gnu::noinline]] static const Byte* read_new_second(const Byte* at, const Byte* end,
                                                       TimeReader& times,
                                                       std::int64_t& out) noexcept {
    const Byte* closing = string_end(at, end);
    if (closing == nullptr || end - closing < 2) return nullptr;
    return times.read(at, closing, end, out) ? closing + 1 : nullptr;
  }

  const Byte* read_id(const Byte* at) noexcept {
    if (at == nullptr) return nullptr;
    const bool is_quoted = *at == '"';
    const Digits digits = read_digits(at + 1, at + MEMBER_BYTES / 2);
    if (!is_quoted || digits.count == 0 || digits.count > DIGITS_EXACT_MAX || *digits.end != '"') {
      return read_id_slowly(at, end_, tick_.p[2]);
    }
    tick_.p[2] = static_cast<std::int64_t>(digits.value);
    return digits.end + 1;
  }

  const Byte* read_decimal_member(const Byte* at, int decimals, std::int64_t& out) const noexcept {
    if (at == nullptr) return nullptr;
    const Byte* behind = *at == '"' ? read_plain_decimal(at + 1, decimals, out) : nullptr;
    return behind == nullptr ? read_decimal_slowly(at, end_, decimals, out) : behind;
  }

  /** A string or a number, either one's text from `start` on: behind it, or nullptr. */
  static const Byte* scan_digits(const Byte* at, const Byte* end, Text& out) noexcept {
    const bool is_quoted = *at == '"';
    out.start = is_quoted ? at + 1 : at;
    const Byte* behind = is_quoted ? string_end(out.start, end) : skip_number(at, end).end;
    if (behind == nullptr || end - behind < 2) return nullptr;
    out.size = static_cast<std::size_t>(behind - out.start);
    return is_quoted ? behind + 1 : behind;
  }

  [[gnu::noinline]] static const Byte* read_id_slowly(const Byte* at, const Byte* end,
                                                      std::int64_t& out) noexcept {
    Text text;
    out = NULL_VALUE;
    const Byte* behind = scan_digits(at, end, text);
    if (behind == nullptr) return skip_null(at);
    return read_integer(text.start, text.start + text.size, end, out) ? behind : nullptr;
  }

  [[gnu::noinline]] static const Byte* read_decimal_slowly(const Byte* at, const Byte* end,
                                                           int decimals,
                                                           std::int64_t& out) noexcept {
    Text text;
    out = NULL_VALUE;
    const Byte* behind = scan_digits(at, end, text);
    if (behind == nullptr) return skip_null(at);
    return read_decimal(text.start, text.start + text.size, end, decimals, out) ? behind : nullptr;
  }

  /** The slot of the key at `at`, or one of the two below. */
  [[gnu::noinline]] static int quick_slot(const Byte* at, const Byte* end) noexcept {
    namespace f = layout::ndjson;
    constexpr std::uint32_t QUICK =
        bits({f::type, f::venue, f::symbol, f::ts_event, f::flags, f::side, f::price, f::size,
              f::id, f::action, f::bid_price, f::bid_size, f::ask_price, f::ask_size, f::ts_recv});
    int slot = -1;
    if (find_key(at, end, KEYS, slot) == nullptr) return NO_KEY;
    return slot >= 0 && (QUICK >> slot & 1) != 0 ? slot : OTHER_KEY;
  }

  static constexpr int NO_KEY = -2;
  static constexpr int OTHER_KEY = -1;

  /** Behind a member that says nothing of a trade or quote, and with something behind it. */
  [[gnu::noinline]] static const Byte* skip_member(const Byte* at, const Byte* end) noexcept {
    const Byte* next = skip_key(at, end);
    if (next == nullptr) return nullptr;
    next = skip_space(next, end);
    if (next >= end) return nullptr;
    Member ignored;
    next = scan_value(next, end, ignored);
    if (next == nullptr || next >= end) return nullptr;
    // White space of JSON, but a line's end: what it is part of is two messages.
    const std::size_t size = static_cast<std::size_t>(next - at);
    return std::memchr(at, '\n', size) == nullptr ? next : nullptr;
  }

  /** Is all there that the kind needs, and nothing that would have to be told apart? */
  bool is_whole(std::uint32_t seen) const noexcept {
    namespace f = layout::ndjson;
    constexpr std::uint32_t ALL = bits({f::type, f::venue, f::symbol, f::ts_event});
    constexpr std::uint32_t ANY = ALL | bits({f::flags, f::ts_recv});
    constexpr std::uint32_t TRADE = ANY | bits({f::price, f::size, f::id, f::side});
    constexpr std::uint32_t QUOTE =
        ANY | bits({f::bid_price, f::bid_size, f::ask_price, f::ask_size});
    constexpr std::uint32_t BOOK = ANY | bits({f::price, f::size, f::side, f::action});
    const bool has_first = tick_.p[0] != NULL_VALUE;
    const bool has_second = tick_.p[1] != NULL_VALUE;
    if ((seen & ALL) != ALL) return false;
    if (kind_ == layout::KIND_TRADE) return has_first && has_second && (seen & ~TRADE) == 0;
    if (kind_ == layout::KIND_QUOTE) {
      return (has_first || tick_.p[2] != NULL_VALUE) && (seen & ~QUOTE) == 0;
    }
    return has_first && tick_.side != layout::SIDE_NONE && (seen & ~BOOK) == 0 &&
           (tick_.action == layout::ACTION_DELETE ||
            (tick_.action == layout::ACTION_SET && has_second));
  }

  /** Writes what is not a member's own; false where the instrument is not known yet. */
  bool finish() noexcept {
    tick_.instrument =
        state_.instruments.find(venue_.start, venue_.size, symbol_.start, symbol_.size);
    tick_.ts_recv = frame_.ts_recv;
    tick_.source = frame_.source;
    tick_.kind = kind_;
    tick_.flags = frame_.flags | layout::FLAG_LAST;
    tick_.market = 0;
    tick_.interval = 0;
    tick_.reserved = 0;
    return tick_.instrument != 0;
  }

  const Frame& frame_;
  const Byte* const end_;
  DecoderState& state_;
  Tick& tick_;
  Text venue_;
  Text symbol_;
  std::uint8_t kind_ = 0;
  bool is_short_ = false;
};

}  // namespace tickd

#endif
