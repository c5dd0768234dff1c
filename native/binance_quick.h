// The quick way of Binance trades: nearly all trade frames of a feed, in one pass.
//
// Reads `trade` and `aggTrade` payloads, bare and combined, whose members come in the order in
// which the venues write them (spot and Binance.US; USD-M futures), without white space and in
// their plain form. Anything else makes it give up, and the full kernel reads the frame. What it
// takes it has checked as strictly as that one, and read to the same record.
//
//   {"e":"trade","E":n,["T":n,]"s":"…","t":n,"p":"d","q":"d",["b":n,"a":n,]["X":"MARKET",]
//                                                              ["T":n,]"m":b[,"M":b]}
//   {"e":"aggTrade","E":n,["a":n,]"s":"…",["a":n,]"p":"d","q":"d","f":n,"l":n,"T":n,"m":b[,"M":b]}
//
// It looks for no end on its way: whether all was within the frame shows behind the last brace.
// Invariant: it looks at no more than LOOK_BYTES bytes from the frame's first on.
#ifndef TICKD_BINANCE_QUICK_H
#define TICKD_BINANCE_QUICK_H

#include "decoder_state.h"
#include "tick.h"

namespace tickd {

class QuickTrade {
 public:
  /** A longer frame is no plain trade. */
  static constexpr std::size_t FRAME_BYTES_MAX = 512;
  static constexpr std::size_t LOOK_BYTES = 1024;

  QuickTrade(const Byte* venue, std::size_t venue_size, DecoderState& state, Tick& tick) noexcept
      : venue_(venue), venue_size_(venue_size), state_(state), tick_(tick) {}

  /** True = the tick has become the frame's trade, whose text is [at, end). */
  [[gnu::always_inline]] bool read(const Frame& frame, const Byte* at, const Byte* end) noexcept {
    const Byte* next = at;
    const bool is_combined = is_text(next, R"({"stream":")");
    if (is_combined) next = skip_stream(next + 11);
    if (next == nullptr) return false;
    if (is_text(next, R"({"e":"trade","E":)")) next = read_payload<false>(next + 17);
    else if (is_text(next, R"({"e":"aggTrade","E":)")) next = read_payload<true>(next + 20);
    else return false;
    if (next == nullptr) return false;
    if (is_combined && *next++ != '}') return false;
    if (next != end) return false;
    finish(frame);
    return true;
  }

 private:
  /** Of a number, and of a string with its closing quote: what is looked at, at most. */
  static constexpr std::ptrdiff_t NUMBER_BYTES = 32;
  static constexpr std::ptrdiff_t STRING_BYTES = 64;
  // A stream's name, seven numbers, three strings, and keys: the longest way through.
  static_assert(STRING_BYTES * 4 + NUMBER_BYTES * 7 + 256 <= LOOK_BYTES);
  static_assert(EpochReader::LOOK_BYTES <= NUMBER_BYTES);

  template <std::size_t Size>
  static bool is_text(const Byte* at, const char (&text)[Size]) noexcept {
    return std::memcmp(at, text, Size - 1) == 0;
  }

  /** At the payload behind the stream's name at `at`. */
  static const Byte* skip_stream(const Byte* at) noexcept {
    const Byte* closing = string_end(at, at + STRING_BYTES);
    return closing != nullptr && is_text(closing, R"(","data":)") ? closing + 9 : nullptr;
  }

  /** From the time of the event at `at` to behind the payload's brace. */
  template <bool IsAggregate>
  [[gnu::always_inline]] const Byte* read_payload(const Byte* at) noexcept {
    const Byte* next = state_.epochs.skip(at);
    if (next == nullptr) return nullptr;
    const bool is_early = !is_text(next, R"(,"s":")");
    if (is_early) [[unlikely]] {
      // Futures have one more before the symbol: the aggregate's id, the trade's time.
      next = IsAggregate ? read_id<IsAggregate>(next) : read_time(next);
      if (next == nullptr || !is_text(next, R"(,"s":")")) return nullptr;
    }
    next = read_symbol(next + 6);
    if (next == nullptr) return nullptr;
    if (!IsAggregate || !is_early) {
      const Byte* behind = read_id<IsAggregate>(next);
      if (behind == nullptr) return nullptr;
      next = follow(next, behind, symbol_->id_bytes);
    }
    next = read_values(next);
    if (next != nullptr) next = IsAggregate ? skip_range(next) : skip_rest(next);
    if (next != nullptr && (IsAggregate || !is_early)) next = read_time(next);
    return next == nullptr ? nullptr : read_flags(next);
  }

  /** The price and the quantity. */
  [[gnu::always_inline]] const Byte* read_values(const Byte* at) noexcept {
    const Byte* next = at;
    if (!is_text(next, R"(,"p":")")) return nullptr;
    const Byte* behind = read_decimal_text(next + 6, layout::PRICE_DECIMALS, tick_.p[0]);
    if (behind == nullptr) return nullptr;
    next = follow(next + 6, behind, symbol_->price_bytes);
    if (!is_text(next, R"(,"q":")")) return nullptr;
    return read_decimal_text(next + 6, layout::SIZE_DECIMALS, tick_.p[1]);
  }

  /** The first and the last of the trades that an aggregate is of. */
  static const Byte* skip_range(const Byte* at) noexcept {
    if (!is_text(at, R"(,"f":)")) return nullptr;
    const Byte* next = skip_whole(at + 5);
    return next != nullptr && is_text(next, R"(,"l":)") ? skip_whole(next + 5) : nullptr;
  }

  /** Of Binance.US: the buyer's and the seller's order; of futures: what made the trade. */
  [[gnu::always_inline]] static const Byte* skip_rest(const Byte* at) noexcept {
    const Byte* next = at;
    if (is_text(next, R"(,"T":)")) [[likely]] return next;
    if (is_text(next, R"(,"b":)")) {
      next = skip_whole(next + 5);
      if (next == nullptr || !is_text(next, R"(,"a":)")) return nullptr;
      next = skip_whole(next + 5);
      if (next == nullptr) return nullptr;
    }
    return is_text(next, R"(,"X":"MARKET")") ? next + 13 : next;
  }

  /** `,"m":b`, `,"M":b` where that is there, and the brace. */
  [[gnu::always_inline]] const Byte* read_flags(const Byte* at) noexcept {
    if (!is_text(at, R"(,"m":)")) return nullptr;
    const Byte* next = read_flag(at + 5, is_maker_);
    if (next == nullptr) return nullptr;
    if (is_text(next, R"(,"M":true})")) [[likely]] return next + 10;
    if (is_text(next, R"(,"M":false)")) next += 10;
    return *next == '}' ? next + 1 : nullptr;
  }

  [[gnu::always_inline]] const Byte* read_time(const Byte* at) noexcept {
    return is_text(at, R"(,"T":)") ? state_.epochs.read(at + 5, tick_.ts_event) : nullptr;
  }

  template <bool IsAggregate>
  [[gnu::always_inline]] const Byte* read_id(const Byte* at) noexcept {
    if (!is_text(at, IsAggregate ? R"(,"a":)" : R"(,"t":)")) return nullptr;
    std::uint64_t value = 0;
    const Byte* behind = read_whole(at + 5, value);
    tick_.p[2] = static_cast<std::int64_t>(value);
    return behind;
  }

  static const Byte* skip_whole(const Byte* at) noexcept {
    std::uint64_t ignored;
    return read_whole(at, ignored);
  }

  /** A JSON number of 1 … 15 digits and nothing else. */
  static const Byte* read_whole(const Byte* at, std::uint64_t& out) noexcept {
    const std::uint64_t first = load_u64(at) ^ repeat('0');
    const std::size_t count = lowest_byte(other_bytes(first));
    if (count == 0) return nullptr;
    const Byte* behind = at + count;
    if (count < 8) {
      out = few_digits(first, count);
    } else {
      const std::uint64_t second = load_u64(at + 8) ^ repeat('0');
      const std::size_t more = lowest_byte(other_bytes(second));
      if (more == 8) return nullptr;
      // Shifted in two steps, as there may be none.
      const EightTwice values = eight_digits_twice(first, second << ((7 - more) * 8) << 8);
      out = values.first * POWERS_OF_TEN[more] + values.second;
      behind += more;
    }
    return *at == '0' && behind != at + 1 ? nullptr : behind;
  }

  /** `true` or `false`: which comes at random, so there is no branch on it. */
  static const Byte* read_flag(const Byte* at, bool& out) noexcept {
    constexpr std::uint64_t TRUE = 0x65757274;
    constexpr std::uint64_t FALSE = 0x65736c6166;
    const std::uint64_t text = load_u64(at);
    const bool is_true = static_cast<std::uint32_t>(text) == TRUE;
    const bool is_false = text << 24 == FALSE << 24;
    out = is_true;
    return (is_true | is_false) ? at + 5 - is_true : nullptr;
  }

  /**
   * `behind`, which begins `guess` bytes behind `at` as a rule. A branch that is foreseen stands in
   * for the time that it takes to find where a value ends.
   */
  [[gnu::always_inline]] static const Byte* follow(const Byte* at, const Byte* behind,
                                                   std::uint8_t& guess) noexcept {
    const Byte* guessed = at + guess;
    if (unknown(guessed) == behind) [[likely]] return guessed;
    guess = static_cast<std::uint8_t>(behind - at);
    return behind;
  }

  [[gnu::always_inline]] const Byte* read_symbol(const Byte* at) noexcept {
    symbol_ = state_.symbols.find(at);
    if (symbol_ == nullptr) symbol_ = find_symbol(at, venue_, venue_size_, state_);
    if (symbol_ == nullptr) return nullptr;
    tick_.instrument = symbol_->instrument;
    return at + symbol_->size;
  }

  [[gnu::noinline]] static SymbolMemo::Entry* find_symbol(const Byte* at, const Byte* venue,
                                                          std::size_t venue_size,
                                                          DecoderState& state) noexcept {
    const Byte* closing = string_end(at, at + SymbolMemo::TEXT_BYTES_MAX);
    if (closing == nullptr) return nullptr;
    const std::size_t size = static_cast<std::size_t>(closing - at);
    const std::uint32_t instrument = state.instruments.find(venue, venue_size, at, size);
    return instrument == 0 ? nullptr : state.symbols.keep(at, size + 1, instrument);
  }

  /** Behind the closing quote of the decimal at `at`. */
  static const Byte* read_decimal_text(const Byte* at, int decimals, std::int64_t& out) noexcept {
    const Byte* behind = read_plain_decimal(at, decimals, out);
    return behind == nullptr ? read_decimal_slowly(at, decimals, out) : behind;
  }

  [[gnu::noinline]] static const Byte* read_decimal_slowly(const Byte* at, int decimals,
                                                           std::int64_t& out) noexcept {
    const Byte* end = at + STRING_BYTES;
    const Byte* closing = string_end(at, end);
    if (closing == nullptr) return nullptr;
    return read_decimal(at, closing, end, decimals, out) ? closing + 1 : nullptr;
  }

  /** Writes what is no member's own. */
  [[gnu::always_inline]] void finish(const Frame& frame) noexcept {
    tick_.ts_recv = frame.ts_recv;
    tick_.source = frame.source;
    tick_.kind = layout::KIND_TRADE;
    tick_.side = is_maker_ ? layout::SIDE_SELL : layout::SIDE_BUY;
    tick_.flags = frame.flags | layout::FLAG_LAST;
    tick_.action = layout::ACTION_NONE;
    tick_.market = 0;
    tick_.interval = 0;
    tick_.reserved = 0;
    tick_.p[3] = NULL_VALUE;
  }

  const Byte* const venue_;
  const std::size_t venue_size_;
  DecoderState& state_;
  Tick& tick_;
  SymbolMemo::Entry* symbol_ = nullptr;
  bool is_maker_ = false;
};

}  // namespace tickd

#endif
