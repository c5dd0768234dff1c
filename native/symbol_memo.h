// The symbols that came lately, by the eight bytes they begin with -> instrument, in one look.
//
// A place holds the last symbol that came there as the text behind an opening quote: equal bytes up
// to and with the closing quote are the same symbol. (Of a short one some of the eight bytes are
// the next member's name, alike in messages of one kind.) Ids never change, so nothing is ever
// stale; what is not found is looked up in the instrument table.
#ifndef TICKD_SYMBOL_MEMO_H
#define TICKD_SYMBOL_MEMO_H

#include "bytes.h"

namespace tickd {

class SymbolMemo {
 public:
  /** A longer text, its closing quote counted, is not kept; so many bytes are looked at. */
  static constexpr std::size_t TEXT_BYTES_MAX = 16;

  /** A cache line. */
  struct alignas(64) Entry {
    std::uint64_t text[2];
    /** The bytes that are text. */
    std::uint64_t mask[2];
    /** 0 = nothing is kept here. */
    std::uint32_t instrument;
    /** Bytes of the text, its closing quote counted. */
    std::uint8_t size;
    /** What came last: bytes of a trade's id, and of a price with the quote. Guesses. */
    std::uint8_t id_bytes;
    std::uint8_t price_bytes;
  };

  /** That of the symbol whose first byte is at `at`, or nullptr. */
  Entry* find(const Byte* at) noexcept {
    Entry& entry = entries_[place_of(at)];
    const std::uint64_t difference = ((load_u64(at) ^ entry.text[0]) & entry.mask[0]) |
                                     ((load_u64(at + 8) ^ entry.text[1]) & entry.mask[1]);
    return difference == 0 && entry.instrument != 0 ? &entry : nullptr;
  }

  /** Keeps the symbol at `at`; `size` counts its closing quote. nullptr = it is too long. */
  Entry* keep(const Byte* at, std::size_t size, std::uint32_t instrument) noexcept {
    if (size > TEXT_BYTES_MAX) return nullptr;
    Entry& entry = entries_[place_of(at)];
    entry = {{}, {}, instrument, static_cast<std::uint8_t>(size), 0, 0};
    for (std::size_t i = 0; i < size; i++) {
      entry.text[i / 8] |= static_cast<std::uint64_t>(at[i]) << (i % 8 * 8);
      entry.mask[i / 8] |= 0xffull << (i % 8 * 8);
    }
    return &entry;
  }

 private:
  static constexpr int BITS = 9;

  static std::size_t place_of(const Byte* at) noexcept {
    return (load_u64(at) * 0x9e3779b97f4a7c15ull) >> (64 - BITS);
  }

  Entry entries_[1 << BITS] = {};
};

}  // namespace tickd

#endif
