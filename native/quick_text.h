// Values of plain JSON text as venues write it, without white space: what quick ways read.
//
// Each function begins at `at` and returns where it ended, or nullptr where the text is not plain:
// giving up is always right. None looks for the text's end on its way: of a number it looks at
// NUMBER_BYTES bytes at most, of a string at STRING_BYTES, which can be read; its caller sees in
// the end whether all was within the text.
#ifndef TICKD_QUICK_TEXT_H
#define TICKD_QUICK_TEXT_H

#include "json_scan.h"
#include "values.h"

namespace tickd {

/** Of a number, and of a string with its closing quote: what is looked at, at most. */
constexpr std::ptrdiff_t NUMBER_BYTES = 32;
constexpr std::ptrdiff_t STRING_BYTES = 64;
static_assert(EpochReader::LOOK_BYTES <= NUMBER_BYTES);

/** Does the text stand at `at`? */
template <std::size_t Size>
bool is_text(const Byte* at, const char (&text)[Size]) noexcept {
  return std::memcmp(at, text, Size - 1) == 0;
}

/** A JSON number of 1 … 15 digits and nothing else. */
inline const Byte* read_whole(const Byte* at, std::uint64_t& out) noexcept {
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

inline const Byte* skip_whole(const Byte* at) noexcept {
  std::uint64_t ignored;
  return read_whole(at, ignored);
}

/** `true` or `false`: which comes at random, so there is no branch on it. */
inline const Byte* read_flag(const Byte* at, bool& out) noexcept {
  constexpr std::uint64_t TRUE = 0x65757274;
  constexpr std::uint64_t FALSE = 0x65736c6166;
  const std::uint64_t text = load_u64(at);
  const bool is_true = static_cast<std::uint32_t>(text) == TRUE;
  const bool is_false = text << 24 == FALSE << 24;
  out = is_true;
  return (is_true | is_false) ? at + 5 - is_true : nullptr;
}

[[gnu::noinline]] inline const Byte* read_decimal_slowly(const Byte* at, int decimals,
                                                         std::int64_t& out) noexcept {
  const Byte* end = at + STRING_BYTES;
  const Byte* closing = string_end(at, end);
  if (closing == nullptr) return nullptr;
  return read_decimal(at, closing, end, decimals, out) ? closing + 1 : nullptr;
}

/** Behind the closing quote of the decimal at `at`. */
inline const Byte* read_decimal_text(const Byte* at, int decimals, std::int64_t& out) noexcept {
  const Byte* behind = read_plain_decimal(at, decimals, out);
  return behind == nullptr ? read_decimal_slowly(at, decimals, out) : behind;
}

/**
 * `behind`, which begins `guess` bytes behind `at` as a rule. A branch that is foreseen stands in
 * for the time that it takes to find where a value ends.
 */
[[gnu::always_inline]] inline const Byte* follow(const Byte* at, const Byte* behind,
                                                 std::uint8_t& guess) noexcept {
  const Byte* guessed = at + guess;
  if (unknown(guessed) == behind) [[likely]] return guessed;
  guess = static_cast<std::uint8_t>(behind - at);
  return behind;
}

}  // namespace tickd

#endif
