// Bytes and words of text: loads, comparison, runs of digits. Little-endian machines only.
//
// Not a parser: json_scan.h and values.h are. No function reads at or beyond the `end` it is given.
#ifndef TICKD_BYTES_H
#define TICKD_BYTES_H

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tickd {

static_assert(std::endian::native == std::endian::little, "records are little-endian words");

using Byte = std::uint8_t;

inline std::uint64_t load_u64(const Byte* at) noexcept {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::uint16_t load_u16(const Byte* at) noexcept {
  std::uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::uint32_t load_u32(const Byte* at) noexcept {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/** The byte in each of the eight places. */
constexpr std::uint64_t repeat(Byte byte) noexcept {
  return 0x0101010101010101ull * byte;
}

/** Offset of the lowest byte of which a bit is set. */
inline std::size_t lowest_byte(std::uint64_t bits) noexcept {
  return static_cast<std::size_t>(std::countr_zero(bits)) / 8;
}

/** Are n bytes equal? For short texts: no call. */
inline bool equal(const Byte* a, const Byte* b, std::size_t n) noexcept {
  if (n >= 8) {
    for (std::size_t i = 0; i + 8 < n; i += 8) {
      if (load_u64(a + i) != load_u64(b + i)) return false;
    }
    return load_u64(a + n - 8) == load_u64(b + n - 8);
  }
  if (n >= 4) return load_u32(a) == load_u32(b) && load_u32(a + n - 4) == load_u32(b + n - 4);
  for (std::size_t i = 0; i < n; i++) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

/** The first 8 of `size` bytes at `at` as a word, zero beyond them. */
inline std::uint64_t prefix_word(const Byte* at, std::size_t size, const Byte* end) noexcept {
  if (size >= 8) return load_u64(at);
  if (end - at >= 8) return load_u64(at) & ((1ull << (size * 8)) - 1);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < size; i++) word |= static_cast<std::uint64_t>(at[i]) << (i * 8);
  return word;
}

/**
 * The pointer, as one of which the compiler knows nothing: what is compared with it is not put in
 * its place, so that the processor can go on from a guess while it is still being checked.
 */
inline const Byte* unknown(const Byte* at) noexcept {
  __asm__("" : "+r"(at));
  return at;
}

/** A run of digits: where it ends, how many, and their value while there are at most 18. */
struct Digits {
  const Byte* end;
  std::uint64_t value;
  std::size_t count;
};

constexpr std::size_t DIGITS_EXACT_MAX = 18;

constexpr std::uint64_t POWERS_OF_TEN[] = {
    1ull,         10ull,         100ull,         1000ull,         10000ull,
    100000ull,    1000000ull,    10000000ull,    100000000ull,    1000000000ull,
};

/** The value of eight digits, most significant first in memory; each byte 0 … 9. */
inline std::uint64_t eight_digits(std::uint64_t digits) noexcept {
  digits = (digits * (1 + (10 << 8))) >> 8;
  digits = ((digits & 0x00ff00ff00ff00ffull) * (1 + (100 << 16))) >> 16;
  return ((digits & 0x0000ffff0000ffffull) * (1 + (10000ull << 32))) >> 32;
}

/** Two numbers of eight digits each; the bytes' high halves do not count. */
struct EightTwice {
  std::uint64_t first;
  std::uint64_t second;
};

/** As eight_digits of both, in about the time of one. */
inline EightTwice eight_digits_twice(std::uint64_t first, std::uint64_t second) noexcept {
#if defined(__SSE2__)
  const __m128i text = _mm_set_epi64x(static_cast<long long>(second),
                                      static_cast<long long>(first));
  const __m128i digits = _mm_and_si128(text, _mm_set1_epi8(0x0f));
  // Of neighbours the first is worth ten times the second, then a hundred, then ten thousand times.
  const __m128i tens = _mm_and_si128(digits, _mm_set1_epi16(0xff));
  const __m128i pairs = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)),
                                      _mm_srli_epi16(digits, 8));
  const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | 1 << 16));
  const __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours),
                                        _mm_set1_epi32(10'000 | 1 << 16));
  const std::uint64_t both = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
  return {both & 0xffff'ffff, both >> 32};
#else
  return {eight_digits(first & repeat(0x0f)), eight_digits(second & repeat(0x0f))};
#endif
}

/** The first `count` (1 … 8) bytes of a word, as the last ones behind zero bytes. */
inline std::uint64_t first_digits(std::uint64_t digits, std::size_t count) noexcept {
  // A shift counts up to 63: the processors' own way, so that nothing is left of the mask.
  return digits << ((0 - count * 8) & 63);
}

/** The first `count` (1 … 8) digits of a word of digits, the others being anything. */
inline std::uint64_t few_digits(std::uint64_t digits, std::size_t count) noexcept {
  return eight_digits(first_digits(digits, count));
}

/** A bit of each byte that is no digit but behind such a byte; `digits` = text ^ '0' each. */
inline std::uint64_t other_bytes(std::uint64_t digits) noexcept {
  // A byte above 9 sets its own high bit; its carry only reaches bytes behind the first such.
  return ((digits + repeat(0x76)) | digits) & repeat(0x80);
}

/** As read_digits, eight at a time: where less than 16 bytes may be read, or all are digits. */
[[gnu::noinline]] inline Digits read_digits_slowly(const Byte* at, const Byte* end) noexcept {
  const Byte* next = at;
  std::uint64_t value = 0;
  while (end - next >= 8) {
    const std::uint64_t digits = load_u64(next) ^ repeat('0');
    const std::uint64_t others = other_bytes(digits);
    if (others != 0) {
      const std::size_t count = lowest_byte(others);
      if (count > 0) value = value * POWERS_OF_TEN[count] + few_digits(digits, count);
      next += count;
      return {next, value, static_cast<std::size_t>(next - at)};
    }
    value = value * 100000000ull + eight_digits(digits);
    next += 8;
  }
  for (; next < end; next++) {
    const unsigned digit = static_cast<unsigned>(*next) - '0';
    if (digit > 9) break;
    value = value * 10 + digit;
  }
  return {next, value, static_cast<std::size_t>(next - at)};
}

inline Digits read_digits(const Byte* at, const Byte* end) noexcept {
#if defined(__SSE2__)
  if (end - at >= 16) {
    // All in one look: what follows does not wait for one half before the other.
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i values = _mm_sub_epi8(text, _mm_set1_epi8('0'));
    const __m128i others = _mm_cmpeq_epi8(_mm_max_epu8(values, _mm_set1_epi8(10)), values);
    const unsigned stops = static_cast<unsigned>(_mm_movemask_epi8(others));
    if (stops != 0) {
      const std::size_t count = static_cast<std::size_t>(std::countr_zero(stops));
      const std::uint64_t first = load_u64(at) ^ repeat('0');
      if (count > 8) {
        const std::uint64_t second = load_u64(at + 8) ^ repeat('0');
        const std::uint64_t value = eight_digits(first) * POWERS_OF_TEN[count - 8];
        return {at + count, value + few_digits(second, count - 8), count};
      }
      return {at + count, count == 0 ? 0 : few_digits(first, count), count};
    }
  }
#endif
  return read_digits_slowly(at, end);
}

/** The digits that are all of [at, text_end), 1 … 8 of them; count 0 where one is none. */
inline Digits read_few_digits(const Byte* at, const Byte* text_end, const Byte* end) noexcept {
  const std::size_t size = static_cast<std::size_t>(text_end - at);
  if (size > 8 || size == 0 || end - at < 8) return read_digits_slowly(at, end);
  const std::uint64_t digits = load_u64(at) ^ repeat('0');
  if ((other_bytes(digits) << ((8 - size) * 8)) != 0) return {at, 0, 0};
  return {text_end, few_digits(digits, size), size};
}

}  // namespace tickd

#endif
