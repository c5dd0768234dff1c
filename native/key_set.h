// The member names that a kernel knows, found by their bytes: a perfect hash made by the compiler.
//
// Slots are the names' indexes in the generated list, as in src/decode/key-table.ts.
#ifndef TICKD_KEY_SET_H
#define TICKD_KEY_SET_H

#include <array>
#include <string_view>

#include "bytes.h"

namespace tickd {

template <std::size_t Count>
class KeySet {
 public:
  consteval explicit KeySet(const std::array<std::string_view, Count>& names) : names_(names) {
    for (std::size_t slot = 0; slot < Count; slot++) prefixes_[slot] = prefix_of(names[slot]);
    while (!place()) multiplier_ += 0x9e3779b97f4a7c16ull;
    letters_.fill(NO_LETTER);
    for (int letter = 'A'; letter <= 'Z'; letter++) {
      letters_[static_cast<std::size_t>(letter)] = -1;
      letters_[static_cast<std::size_t>(letter | 0x20)] = -1;
    }
    for (std::size_t slot = 0; slot < Count; slot++) {
      patterns_[slot] = Pattern(names[slot]);
      if (names[slot].size() != 1) continue;
      letters_[static_cast<Byte>(names[slot][0])] = static_cast<std::int8_t>(slot);
    }
  }

  /** As find, for a name that is one letter; NO_LETTER where the byte is none. */
  int find_letter(Byte letter) const noexcept { return letters_[letter]; }

  static constexpr int NO_LETTER = -2;

  /** Behind `"name":` at `at`, where the name is that of the slot; otherwise nullptr. */
  const Byte* behind(int slot, const Byte* at, const Byte* end) const noexcept {
    const Pattern& pattern = patterns_[static_cast<std::size_t>(slot)];
    if (end - at < static_cast<std::ptrdiff_t>(sizeof pattern.words)) return nullptr;
    std::uint64_t differences = 0;
    for (int i = 0; i < 3; i++) {
      differences |= (load_u64(at + 8 * i) ^ pattern.words[i]) & pattern.masks[i];
    }
    return differences == 0 ? at + pattern.size : nullptr;
  }

  /** The slot of the name in [at, at + size), or -1. `end` bounds what may be read. */
  int find(const Byte* at, std::size_t size, const Byte* end) const noexcept {
    const std::uint64_t prefix = prefix_word(at, size, end);
    const int slot = slots_[place_of(prefix, size)];
    if (slot < 0) return -1;
    const std::size_t index = static_cast<std::size_t>(slot);
    const std::string_view name = names_[index];
    if (name.size() != size || prefixes_[index] != prefix) return -1;
    if (size <= 8) return slot;
    return equal(reinterpret_cast<const Byte*>(name.data()), at, size) ? slot : -1;
  }

 private:
  static constexpr int BITS = 8;

  /** A key as it stands in text without white space: `"name":`. */
  struct Pattern {
    std::uint64_t words[3] = {};
    std::uint64_t masks[3] = {};
    std::size_t size = 0;

    constexpr Pattern() = default;
    constexpr explicit Pattern(std::string_view name) {
      put('"');
      for (const char letter : name) put(static_cast<Byte>(letter));
      put('"');
      put(':');
    }

    constexpr void put(Byte byte) {
      words[size / 8] |= static_cast<std::uint64_t>(byte) << (size % 8 * 8);
      masks[size / 8] |= 0xffull << (size % 8 * 8);
      size++;
    }
  };

  static constexpr std::uint64_t prefix_of(std::string_view name) noexcept {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < name.size() && i < 8; i++) {
      word |= static_cast<std::uint64_t>(static_cast<Byte>(name[i])) << (i * 8);
    }
    return word;
  }

  constexpr std::size_t place_of(std::uint64_t prefix, std::size_t size) const noexcept {
    return static_cast<std::size_t>(((prefix + size) * multiplier_) >> (64 - BITS));
  }

  constexpr bool place() noexcept {
    slots_.fill(-1);
    for (std::size_t slot = 0; slot < Count; slot++) {
      std::int8_t& place = slots_[place_of(prefixes_[slot], names_[slot].size())];
      if (place >= 0) return false;
      place = static_cast<std::int8_t>(slot);
    }
    return true;
  }

  std::array<std::string_view, Count> names_;
  std::array<std::uint64_t, Count> prefixes_{};
  std::array<std::int8_t, 1 << BITS> slots_{};
  std::array<Pattern, Count> patterns_{};
  std::array<std::int8_t, 256> letters_{};
  std::uint64_t multiplier_ = 0x9e3779b97f4a7c15ull;
};

}  // namespace tickd

#endif
