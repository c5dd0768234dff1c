// The shared instrument table, read only: (venue, symbol) -> id, without a lock.
//
// Layout and hash are those of src/tick/instrument-layout.ts and instruments.ts. Names never change
// once they can be seen; new ones are added by JS alone.
#ifndef TICKD_INSTRUMENT_TABLE_H
#define TICKD_INSTRUMENT_TABLE_H

#include "bytes.h"
#include "generated/layout.h"

namespace tickd {

class InstrumentTable {
 public:
  /** Bytes of the table's memory for a capacity (a power of two). */
  static constexpr std::size_t size_of(std::size_t capacity) noexcept {
    return layout::INSTRUMENT_SLOTS_OFFSET + capacity * layout::INSTRUMENT_SLOTS_EACH * 4 +
           capacity * layout::INSTRUMENT_NAMES_EACH * layout::NAME_BYTES +
           (capacity + 1) * layout::INSTRUMENT_BYTES;
  }

  InstrumentTable(const Byte* memory, std::size_t capacity) noexcept
      : count_(reinterpret_cast<const std::uint32_t*>(memory + layout::INSTRUMENT_COUNT_OFFSET)),
        slots_(reinterpret_cast<const std::uint32_t*>(memory + layout::INSTRUMENT_SLOTS_OFFSET)),
        slot_count_(capacity * layout::INSTRUMENT_SLOTS_EACH),
        names_(memory + layout::INSTRUMENT_SLOTS_OFFSET + slot_count_ * 4) {}

  /** Ids 1 … count are valid. */
  std::uint32_t count() const noexcept {
    // Pairs with the store in InstrumentTable.#insert() of instruments.ts.
    return __atomic_load_n(count_, __ATOMIC_ACQUIRE);
  }

  /** The id; 0 = unknown, or no name at all: the JS twin adds it, or says why not. */
  std::uint32_t find(const Byte* venue, std::size_t venue_size, const Byte* symbol,
                     std::size_t symbol_size) noexcept {
    if (venue_size == 0 || symbol_size == 0 || venue_size > layout::VENUE_BYTES_MAX ||
        venue_size + symbol_size > layout::INSTRUMENT_NAME_BYTES_MAX) {
      return 0;
    }
    // Ticks come in runs of few instruments: the names found last, by a cheap hash.
    std::uint32_t& memo = memos_[memo_of(symbol, symbol_size)];
    if (memo != 0) {
      const Byte* name = names_ + (memo - 1) * layout::NAME_BYTES;
      if (matches(name, venue, venue_size, symbol, symbol_size)) return instrument_of(name);
    }
    const std::uint32_t hash = hash_name(venue, venue_size, symbol, symbol_size);
    std::size_t slot = hash & (slot_count_ - 1);
    for (std::size_t i = 0; i < slot_count_; i++) {
      // Pairs with the store in #insertName() of instruments.ts: the name behind it is complete.
      const std::uint32_t entry = __atomic_load_n(slots_ + slot, __ATOMIC_ACQUIRE);
      if (entry == 0) return 0;
      const Byte* name = names_ + (entry - 1) * layout::NAME_BYTES;
      if (load_u32(name + layout::NAME_HASH) == hash &&
          matches(name, venue, venue_size, symbol, symbol_size)) {
        memo = entry;
        return instrument_of(name);
      }
      slot = (slot + 1) & (slot_count_ - 1);
    }
    return 0;
  }

  /** FNV-1a over venue, a zero byte, and name. */
  static std::uint32_t hash_name(const Byte* venue, std::size_t venue_size, const Byte* name,
                                 std::size_t name_size) noexcept {
    constexpr std::uint32_t PRIME = 0x01000193;
    std::uint32_t hash = 0x811c9dc5;
    for (std::size_t i = 0; i < venue_size; i++) hash = (hash ^ venue[i]) * PRIME;
    hash *= PRIME;
    for (std::size_t i = 0; i < name_size; i++) hash = (hash ^ name[i]) * PRIME;
    return hash;
  }

 private:
  static constexpr int MEMO_BITS = 8;

  static std::size_t memo_of(const Byte* symbol, std::size_t size) noexcept {
    std::uint64_t word = symbol[0];
    if (size >= 8) word = load_u64(symbol) + std::rotl(load_u64(symbol + size - 8), 7);
    else if (size >= 4) word = load_u32(symbol) + load_u32(symbol + size - 4) * (1ull << 29);
    return ((word + size) * 0x9e3779b97f4a7c15ull) >> (64 - MEMO_BITS);
  }

  static bool matches(const Byte* name, const Byte* venue, std::size_t venue_size,
                      const Byte* symbol, std::size_t symbol_size) noexcept {
    const Byte* text = name + layout::NAME_TEXT;
    return name[layout::NAME_VENUE_LENGTH] == venue_size &&
           name[layout::NAME_LENGTH] == symbol_size && equal(text, venue, venue_size) &&
           equal(text + venue_size, symbol, symbol_size);
  }

  static std::uint32_t instrument_of(const Byte* name) noexcept {
    return load_u32(name + layout::NAME_INSTRUMENT);
  }

  const std::uint32_t* count_;
  const std::uint32_t* slots_;
  std::size_t slot_count_;
  const Byte* names_;
  /** Slot entries (index of a name + 1) by memo_of. */
  std::uint32_t memos_[1 << MEMO_BITS] = {};
};

}  // namespace tickd

#endif
