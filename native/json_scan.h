// Walking over JSON text: strict where JSON.parse is strict, building nothing.
//
// The twin of src/decode/json-scan.ts and object-scan.ts, for the plain case. Every function takes
// a pointer into the text and returns one behind the token, or nullptr: not JSON, or a text that
// is left to the JS twin (any escape in a string, nesting deeper than DEPTH_MAX). The caller does
// not tell the two apart: the twin decides. No function reads at or beyond `end`.
#ifndef TICKD_JSON_SCAN_H
#define TICKD_JSON_SCAN_H

#include "bytes.h"

namespace tickd {

inline const Byte* skip_space_slowly(const Byte* at, const Byte* end) noexcept {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  return at;
}

/** First byte at or after `at` that is no white space. */
inline const Byte* skip_space(const Byte* at, const Byte* end) noexcept {
  return at < end && *at <= ' ' ? skip_space_slowly(at, end) : at;
}

/** At the quote that closes the string whose text begins at `at`. */
inline const Byte* string_end(const Byte* at, const Byte* end) noexcept {
#if defined(__SSE2__)
  while (end - at >= 16) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i quotes = _mm_cmpeq_epi8(text, _mm_set1_epi8('"'));
    const __m128i escapes = _mm_cmpeq_epi8(text, _mm_set1_epi8('\\'));
    const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
    const int stops = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, escapes), controls));
    if (stops != 0) {
      at += std::countr_zero(static_cast<unsigned>(stops));
      return *at == '"' ? at : nullptr;
    }
    at += 16;
  }
#endif
  for (; at < end; at++) {
    if (*at == '"') return at;
    if (*at == '\\' || *at < ' ') return nullptr;
  }
  return nullptr;
}

/** A number: where it ends, and its value where it is whole, not negative and short. */
struct Number {
  const Byte* end;
  std::uint64_t whole;
  bool is_whole;
};

/** The rest of a number from its point or exponent on. */
[[gnu::noinline]] inline const Byte* skip_fraction(const Byte* at, const Byte* end) noexcept {
  const Byte* next = at;
  if (*next == '.') {
    const Digits fraction = read_digits(next + 1, end);
    if (fraction.count == 0) return nullptr;
    next = fraction.end;
  }
  if (next < end && (*next | 0x20) == 'e') {
    next++;
    if (next < end && (*next == '+' || *next == '-')) next++;
    const Digits exponent = read_digits(next, end);
    if (exponent.count == 0) return nullptr;
    next = exponent.end;
  }
  return next;
}

inline Number skip_number(const Byte* at, const Byte* end) noexcept {
  const bool negative = at < end && *at == '-';
  const Byte* first = negative ? at + 1 : at;
  const Digits whole = read_digits(first, end);
  if (whole.count == 0 || (*first == '0' && whole.count > 1)) return {nullptr, 0, false};
  if (whole.end < end && (*whole.end == '.' || (*whole.end | 0x20) == 'e')) {
    return {skip_fraction(whole.end, end), 0, false};
  }
  return {whole.end, whole.value, !negative && whole.count <= DIGITS_EXACT_MAX};
}

/** Behind `true`, `false` or `null`. */
inline const Byte* skip_literal(const Byte* at, const Byte* end) noexcept {
  if (end - at < 4) return nullptr;
  const std::uint32_t word = load_u32(at);
  if (word == 0x65757274 || word == 0x6c6c756e) return at + 4;
  return word == 0x736c6166 && end - at >= 5 && at[4] == 'e' ? at + 5 : nullptr;
}

/** Behind the string, number or literal at `at`. */
inline const Byte* skip_scalar(const Byte* at, const Byte* end) noexcept {
  if (at >= end) return nullptr;
  if (*at == '"') {
    const Byte* closing = string_end(at + 1, end);
    return closing == nullptr ? nullptr : closing + 1;
  }
  if (*at == '-' || (*at >= '0' && *at <= '9')) return skip_number(at, end).end;
  return skip_literal(at, end);
}

/** Behind the key at `at` and its colon. */
inline const Byte* skip_key(const Byte* at, const Byte* end) noexcept {
  if (at >= end || *at != '"') return nullptr;
  const Byte* closing = string_end(at + 1, end);
  if (closing == nullptr) return nullptr;
  const Byte* next = skip_space(closing + 1, end);
  return next < end && *next == ':' ? next + 1 : nullptr;
}

/** Levels of nesting: one bit each of a word says which are objects. */
constexpr int DEPTH_MAX = 64;

/** Behind the array or object whose bracket is at `at`. */
[[gnu::noinline]] inline const Byte* skip_nested(const Byte* at, const Byte* end) noexcept {
  std::uint64_t objects = 0;
  int depth = 0;
  const Byte* next = at;
  // Each turn is one value; what may follow it is decided at its end.
  for (;;) {
    next = skip_space(next, end);
    if (next >= end) return nullptr;
    if (*next == '[' || *next == '{') {
      if (depth == DEPTH_MAX) return nullptr;
      const bool is_object = *next == '{';
      objects = objects << 1 | (is_object ? 1 : 0);
      depth++;
      next = skip_space(next + 1, end);
      if (next >= end) return nullptr;
      if (*next != (is_object ? '}' : ']')) {
        if (is_object) next = skip_key(next, end);
        if (next == nullptr) return nullptr;
        continue;
      }
    } else {
      next = skip_scalar(next, end);
      if (next == nullptr) return nullptr;
      next = skip_space(next, end);
    }
    // Behind a value, or at the bracket that closes an empty one: close as many as close here.
    for (;;) {
      if (next >= end) return nullptr;
      if (*next == ',') break;
      if (*next != ((objects & 1) != 0 ? '}' : ']')) return nullptr;
      if (--depth == 0) return next + 1;
      objects >>= 1;
      next = skip_space(next + 1, end);
    }
    next++;
    if ((objects & 1) != 0) {
      next = skip_key(skip_space(next, end), end);
      if (next == nullptr) return nullptr;
    }
  }
}

}  // namespace tickd

#endif
