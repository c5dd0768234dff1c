// The quick way of Binance trades and quotes: nearly all frames of a feed, in one pass.
//
// Reads `trade`, `aggTrade` and `bookTicker` payloads, bare and combined, whose members come in the
// order in which the venues write them (spot and Binance.US; USD-M futures), without white space
// and in their plain form. Anything else makes it give up, and the full kernel reads the frame.
// What it takes it has checked as strictly as that one, and read to the same record.
//
//   {"e":"trade","E":n,["T":n,]"s":"…","t":n,"p":"d","q":"d",["b":n,"a":n,]["X":"MARKET",]
//                                                              ["T":n,]"m":b[,"M":b]}
//   {"e":"aggTrade","E":n,["a":n,]"s":"…",["a":n,]"p":"d","q":"d","f":n,"l":n,"T":n,"m":b[,"M":b]}
//   {"u":n,"s":"…","b":"d","B":"d","a":"d","A":"d"}
//   {"e":"bookTicker","u":n,["E":n,"T":n,]"s":"…","b":"d","B":"d","a":"d","A":"d"[,"T":n,"E":n]}
//
// It looks for no end on its way: whether all was within the frame shows behind the last brace.
// Invariant: it looks at no more than LOOK_BYTES bytes from the frame's first on.
#ifndef TICKD_BINANCE_QUICK_H
#define TICKD_BINANCE_QUICK_H

#include "binance_kernel.h"
#include "quick_text.h"

namespace tickd {

class BinanceQuick {
 public:
  /** A longer frame is no plain message. */
  static constexpr std::size_t FRAME_BYTES_MAX = 512;
  static constexpr std::size_t LOOK_BYTES = 1024;

  BinanceQuick(const BinanceVenue& venue, DecoderState& state, Tick& tick) noexcept
      : venue_(venue), state_(state), tick_(tick) {}

  /** What the tick has become of the frame, whose text is [at, end): trade, quote, or `left`. */
  [[gnu::always_inline]] BinanceCode read(const Frame& frame, const Byte* at,
                                          const Byte* end) noexcept {
    const Byte* next = at;
    const bool is_combined = is_text(next, R"({"stream":")");
    if (is_combined) next = skip_stream(next + 11);
    if (next == nullptr) return BinanceCode::left;
    if (is_text(next, R"({"e":"trade","E":)")) next = read_trade<false>(next + 17);
    else if (is_text(next, R"({"e":"aggTrade","E":)")) next = read_trade<true>(next + 20);
    else next = read_quote(frame, next);
    if (next == nullptr) return BinanceCode::left;
    if (is_combined && *next++ != '}') return BinanceCode::left;
    if (next != end) return BinanceCode::left;
    finish(frame);
    return tick_.kind == layout::KIND_TRADE ? BinanceCode::trade : BinanceCode::quote;
  }

 private:
  // A stream's name, seven numbers, five strings, and keys: the longest way through.
  static_assert(STRING_BYTES * 6 + NUMBER_BYTES * 7 + 256 <= LOOK_BYTES);

  /** At the payload behind the stream's name at `at`. */
  static const Byte* skip_stream(const Byte* at) noexcept {
    const Byte* closing = string_end(at, at + STRING_BYTES);
    return closing != nullptr && is_text(closing, R"(","data":)") ? closing + 9 : nullptr;
  }

  /** From the time of the event at `at` to behind the payload's brace. */
  template <bool IsAggregate>
  [[gnu::always_inline]] const Byte* read_trade(const Byte* at) noexcept {
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
    next = read_level(next, R"(,"p":")", R"(,"q":")", &tick_.p[0]);
    if (next != nullptr) next = IsAggregate ? skip_range(next) : skip_rest(next);
    if (next != nullptr && (IsAggregate || !is_early)) next = read_time(next);
    if (next == nullptr) return nullptr;
    tick_.kind = layout::KIND_TRADE;
    tick_.p[3] = NULL_VALUE;
    return read_flags(next);
  }

  /** As read_trade, of a quote's payload at `at`. */
  [[gnu::always_inline]] const Byte* read_quote(const Frame& frame, const Byte* at) noexcept {
    const Byte* next = at;
    const bool is_spot = is_text(next, R"({"u":)");
    if (is_spot) next += 5;
    else if (is_text(next, R"({"e":"bookTicker","u":)")) next += 22;
    else return nullptr;
    next = skip_whole(next);
    if (next == nullptr) return nullptr;
    // Spot sends no time: that of receipt.
    tick_.ts_event = frame.ts_recv;
    const bool is_early = !is_spot && is_text(next, R"(,"E":)");
    if (is_early) {
      next = skip_whole(next + 5);
      if (next != nullptr) next = read_time(next);
      if (next == nullptr) return nullptr;
    }
    if (!is_text(next, R"(,"s":")")) return nullptr;
    next = read_symbol(next + 6);
    if (next == nullptr) return nullptr;
    next = read_level(next, R"(,"b":")", R"(,"B":")", &tick_.p[0]);
    if (next == nullptr) return nullptr;
    next = read_level(next, R"(,"a":")", R"(,"A":")", &tick_.p[2]);
    if (next == nullptr) return nullptr;
    if (!is_spot && !is_early) next = read_last_times(next);
    tick_.kind = layout::KIND_QUOTE;
    tick_.side = layout::SIDE_NONE;
    return next != nullptr && *next == '}' ? next + 1 : nullptr;
  }

  /** `,"p":"d","q":"d"`, by whatever keys: a price and its quantity, into level[0] and level[1]. */
  [[gnu::always_inline]] const Byte* read_level(const Byte* at, const char (&price_key)[7],
                                                const char (&size_key)[7],
                                                std::int64_t* level) noexcept {
    if (!is_text(at, price_key)) return nullptr;
    const Byte* behind = read_decimal_text(at + 6, layout::PRICE_DECIMALS, level[0]);
    if (behind == nullptr) return nullptr;
    const Byte* next = follow(at + 6, behind, symbol_->price_bytes);
    if (!is_text(next, size_key)) return nullptr;
    return read_decimal_text(next + 6, layout::SIZE_DECIMALS, level[1]);
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
    bool is_maker;
    const Byte* next = read_flag(at + 5, is_maker);
    if (next == nullptr) return nullptr;
    tick_.side = is_maker ? layout::SIDE_SELL : layout::SIDE_BUY;
    if (is_text(next, R"(,"M":true})")) [[likely]] return next + 10;
    if (is_text(next, R"(,"M":false)")) next += 10;
    return *next == '}' ? next + 1 : nullptr;
  }

  [[gnu::always_inline]] const Byte* read_time(const Byte* at) noexcept {
    return is_text(at, R"(,"T":)") ? state_.epochs.read(at + 5, tick_.ts_event) : nullptr;
  }

  /** `,"T":n,"E":n`, of which the first counts. */
  const Byte* read_last_times(const Byte* at) noexcept {
    const Byte* next = read_time(at);
    return next != nullptr && is_text(next, R"(,"E":)") ? skip_whole(next + 5) : nullptr;
  }

  template <bool IsAggregate>
  [[gnu::always_inline]] const Byte* read_id(const Byte* at) noexcept {
    if (!is_text(at, IsAggregate ? R"(,"a":)" : R"(,"t":)")) return nullptr;
    std::uint64_t value = 0;
    const Byte* behind = read_whole(at + 5, value);
    tick_.p[2] = static_cast<std::int64_t>(value);
    return behind;
  }

  [[gnu::always_inline]] const Byte* read_symbol(const Byte* at) noexcept {
    symbol_ = state_.symbols.find(at);
    if (symbol_ == nullptr) symbol_ = find_symbol(at, venue_, state_);
    if (symbol_ == nullptr) return nullptr;
    tick_.instrument = symbol_->instrument;
    return at + symbol_->size;
  }

  [[gnu::noinline]] static SymbolMemo::Entry* find_symbol(const Byte* at, const BinanceVenue& venue,
                                                          DecoderState& state) noexcept {
    const Byte* closing = string_end(at, at + SymbolMemo::TEXT_BYTES_MAX);
    if (closing == nullptr) return nullptr;
    const std::size_t size = static_cast<std::size_t>(closing - at);
    const std::uint32_t instrument = state.instruments.find(venue.name, venue.size, at, size);
    return instrument == 0 ? nullptr : state.symbols.keep(at, size + 1, instrument);
  }

  /** Writes what is no member's own. */
  [[gnu::always_inline]] void finish(const Frame& frame) noexcept {
    tick_.ts_recv = frame.ts_recv;
    tick_.source = frame.source;
    tick_.flags = frame.flags | layout::FLAG_LAST;
    tick_.action = layout::ACTION_NONE;
    tick_.market = 0;
    tick_.interval = 0;
    tick_.reserved = 0;
  }

  const BinanceVenue& venue_;
  DecoderState& state_;
  Tick& tick_;
  SymbolMemo::Entry* symbol_ = nullptr;
};

}  // namespace tickd

#endif
