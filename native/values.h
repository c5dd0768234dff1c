// The values of members: decimals, whole numbers and times as 64-bit integers, exact.
//
// The twins of src/tick/fixed-point.ts and time.ts for what they accept; whatever is refused here
// (also a value that is legal but rare: more than 18 digits, decimals beyond the scale that are
// zero) is left to the JS twin, which says why. True = `out` is written.
#ifndef TICKD_VALUES_H
#define TICKD_VALUES_H

#include "bytes.h"

namespace tickd {

constexpr std::int64_t NANOS_PER_SECOND = 1'000'000'000;

/** The text [at, text_end) as a decimal times 10^decimals. Bytes up to `end` may be read. */
inline bool read_decimal(const Byte* at, const Byte* text_end, const Byte* end, int decimals,
                         std::int64_t& out) noexcept {
  const bool negative = at < text_end && *at == '-';
  const Digits whole = read_digits(negative ? at + 1 : at, end);
  if (whole.count == 0 || whole.count > DIGITS_EXACT_MAX) return false;
  std::uint64_t fraction = 0;
  const Byte* next = whole.end;
  if (next != text_end) {
    if (*next != '.') return false;
    const Digits digits = read_few_digits(next + 1, text_end, end);
    if (digits.count == 0 || digits.count > static_cast<std::size_t>(decimals)) return false;
    next = digits.end;
    fraction = digits.value * POWERS_OF_TEN[static_cast<std::size_t>(decimals) - digits.count];
  }
  if (next != text_end) return false;
  std::int64_t value;
  if (__builtin_mul_overflow(static_cast<std::int64_t>(whole.value),
                             static_cast<std::int64_t>(POWERS_OF_TEN[decimals]), &value) ||
      __builtin_add_overflow(value, static_cast<std::int64_t>(fraction), &value)) {
    return false;
  }
  out = negative ? -value : value;
  return true;
}

/** The text as a whole number of either sign. */
inline bool read_integer(const Byte* at, const Byte* text_end, const Byte* end,
                         std::int64_t& out) noexcept {
  const bool negative = at < text_end && *at == '-';
  const Digits digits = read_digits(negative ? at + 1 : at, end);
  if (digits.end != text_end || digits.count == 0) return false;
  if (digits.count > DIGITS_EXACT_MAX) return false;
  const std::int64_t value = static_cast<std::int64_t>(digits.value);
  out = negative ? -value : value;
  return true;
}

/** The largest whole number that a double holds with all below it. */
constexpr std::uint64_t WHOLE_MAX = (1ull << 53) - 1;
/** Epoch integers from here on are microseconds. */
constexpr std::uint64_t MICROS_MIN = 100'000'000'000'000ull;
constexpr std::uint64_t TIME_MILLIS_MAX = 9'223'372'036'854ull;

/** An epoch integer, milliseconds or microseconds, as nanoseconds. */
inline bool read_epoch(std::uint64_t value, std::int64_t& out) noexcept {
  if (value < MICROS_MIN) {
    if (value > TIME_MILLIS_MAX) return false;
    out = static_cast<std::int64_t>(value * 1'000'000);
    return true;
  }
  if (value > WHOLE_MAX) return false;
  out = static_cast<std::int64_t>(value * 1000);
  return true;
}

/**
 * Reads epoch integers as JSON has them; remembers how the last one in milliseconds began: its
 * first five digits stay the same for a day.
 */
class EpochReader {
 public:
  /** Bytes that `read` looks at, at most. */
  static constexpr std::ptrdiff_t LOOK_BYTES = 32;

  /** Behind the integer at `at`, nanoseconds since 1970 into `out`; nullptr = it is none. */
  const Byte* read(const Byte* at, std::int64_t& out) noexcept {
    if (!is_plain(at)) [[unlikely]] return read_anew(at, out);
    const std::uint64_t rest = eight_digits(load_u64(at + 5) ^ repeat('0'));
    out = begin_nanos_ + static_cast<std::int64_t>(rest) * 1'000'000;
    return at + 13;
  }

  /** As read, of a time that nobody asks for. */
  const Byte* skip(const Byte* at) noexcept {
    if (is_plain(at)) [[likely]] return at + 13;
    std::int64_t ignored;
    return read_anew(at, ignored);
  }

 private:
  static constexpr std::uint64_t BEGIN_MASK = 0xff'ffff'ffff;
  /** Milliseconds that eight digits can say. */
  static constexpr std::uint64_t REST_MILLIS = 100'000'000;

  /** Thirteen digits and a comma, and the first five are the last time's? */
  bool is_plain(const Byte* at) const noexcept {
    const std::uint64_t difference = (load_u64(at) ^ begin_text_) & BEGIN_MASK;
    const std::uint64_t others = other_bytes(load_u64(at + 5) ^ repeat('0'));
    return (difference | others) == 0 && at[13] == ',';
  }

  [[gnu::noinline]] const Byte* read_anew(const Byte* at, std::int64_t& out) noexcept {
    const Digits digits = read_digits(at, at + LOOK_BYTES);
    if (digits.count == 0 || digits.count > DIGITS_EXACT_MAX) return nullptr;
    if ((*at == '0' && digits.count > 1) || !read_epoch(digits.value, out)) return nullptr;
    const std::uint64_t begin = digits.value / REST_MILLIS * REST_MILLIS;
    // Whatever eight digits follow, it is a time.
    if (digits.count == 13 && begin + REST_MILLIS <= TIME_MILLIS_MAX) {
      begin_text_ = load_u64(at);
      begin_nanos_ = static_cast<std::int64_t>(begin * 1'000'000);
    }
    return digits.end;
  }

  /** The first five bytes are those of the text; at first, of some time's. */
  std::uint64_t begin_text_ = 0x3030303731;
  std::int64_t begin_nanos_ = 1'700'000'000'000'000'000;
};

/** Where a decimal's point and the quote behind it stand in the text [0, 17). */
struct PlainDecimal {
  std::size_t whole_count;
  std::size_t part_count;
};

/** The first two bytes at `at` that are no digits, as counts of the digits before them. */
inline PlainDecimal plain_decimal(const Byte* at) noexcept {
#if defined(__SSE2__)
  const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i values = _mm_sub_epi8(text, _mm_set1_epi8('0'));
  const __m128i others = _mm_cmpeq_epi8(_mm_max_epu8(values, _mm_set1_epi8(10)), values);
  // Beyond the sixteen there are two for certain: a quote at either is refused as too far.
  const unsigned stops = static_cast<unsigned>(_mm_movemask_epi8(others)) | 3u << 16;
  const std::size_t point = static_cast<std::size_t>(std::countr_zero(stops));
  const std::size_t quote = static_cast<std::size_t>(std::countr_zero(stops & (stops - 1)));
  return {point, quote - point - 1};
#else
  const std::size_t whole_count = lowest_byte(other_bytes(load_u64(at) ^ repeat('0')));
  const Byte* part = at + whole_count + 1;
  return {whole_count, lowest_byte(other_bytes(load_u64(part) ^ repeat('0')))};
#endif
}

/**
 * Behind the closing quote of the decimal at `at`, times 10^decimals, where it has a point and
 * 1 … 8 digits on either side of it; otherwise nullptr. Looks at 25 bytes at most.
 */
inline const Byte* read_plain_decimal(const Byte* at, int decimals, std::int64_t& out) noexcept {
  const auto [whole_count, part_count] = plain_decimal(at);
  const Byte* part = at + whole_count + 1;
  const Byte* closing = part + part_count;
  if (part[-1] != '.' || *closing != '"' || ((whole_count - 1) | (part_count - 1)) > 7) {
    return nullptr;
  }
  const EightTwice values = eight_digits_twice(first_digits(load_u64(at), whole_count),
                                               first_digits(load_u64(part), part_count));
  const std::size_t places = static_cast<std::size_t>(decimals);
  out = static_cast<std::int64_t>(values.first * POWERS_OF_TEN[places] +
                                  values.second * POWERS_OF_TEN[places - part_count]);
  return closing + 1;
}

/** The number that `count` digits make; above any legal one where one of them is no digit. */
inline unsigned read_few(const Byte* at, int count) noexcept {
  unsigned value = 0;
  for (int i = 0; i < count; i++) {
    const unsigned digit = static_cast<unsigned>(at[i]) - '0';
    if (digit > 9) return ~0u;
    value = value * 10 + digit;
  }
  return value;
}

inline bool is_leap(unsigned year) noexcept {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/** Seconds since 1970 at the begin of the day 'YYYY-MM-DD'; -1 = no such day from 1970 to 2262. */
inline std::int64_t read_date(const Byte* at) noexcept {
  constexpr unsigned BEFORE[] = {0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  constexpr unsigned DAYS[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  constexpr unsigned DAYS_TO_1970 = 719'162;
  const unsigned year = read_few(at, 4);
  const unsigned month = read_few(at + 5, 2);
  const unsigned day = read_few(at + 8, 2);
  if (at[4] != '-' || at[7] != '-' || year < 1970 || year > 2262 || month < 1 || month > 12) {
    return -1;
  }
  const bool leap = is_leap(year);
  if (day < 1 || day > DAYS[month] + (month == 2 && leap ? 1 : 0)) return -1;
  const unsigned before = year - 1;
  const unsigned leap_days = before / 4 - before / 100 + before / 400 + (month > 2 && leap ? 1 : 0);
  const unsigned days = before * 365 + leap_days + BEFORE[month] + day - 1 - DAYS_TO_1970;
  return static_cast<std::int64_t>(days) * 86'400;
}

/** Reads times; remembers the last day and second, as neighbouring records share them. */
class TimeReader {
 public:
  /** 'YYYY-MM-DDTHH:MM:SS[.fraction](Z|+00:00)' as nanoseconds since 1970. */
  bool read(const Byte* at, const Byte* text_end, const Byte* end, std::int64_t& out) noexcept {
    if (text_end - at < 20) return false;
    if (load_u64(at) != date_low_ || load_u64(at + 2) != date_high_) {
      const std::int64_t seconds = read_date(at);
      if (seconds < 0) return false;
      date_low_ = load_u64(at);
      date_high_ = load_u64(at + 2);
      date_seconds_ = seconds;
    }
    const unsigned hour = read_few(at + 11, 2);
    const unsigned minute = read_few(at + 14, 2);
    const unsigned second = read_few(at + 17, 2);
    if (hour > 23 || minute > 59 || second > 59) return false;
    if (at[10] != 'T' || at[13] != ':' || at[16] != ':') return false;
    const Byte* next = at + 19;
    std::int64_t nanos = 0;
    if (*next == '.') {
      const Digits digits = read_digits(next + 1, end);
      if (digits.count == 0 || digits.count > 9) return false;
      nanos = static_cast<std::int64_t>(digits.value * POWERS_OF_TEN[9 - digits.count]);
      next = digits.end;
    }
    if (!is_utc(next, text_end)) return false;
    const std::int64_t seconds = date_seconds_ + hour * 3600 + minute * 60 + second;
    std::int64_t value;
    if (__builtin_mul_overflow(seconds, NANOS_PER_SECOND, &value)) return false;
    second_low_ = load_u64(at);
    second_middle_ = load_u64(at + 8);
    second_high_ = load_u32(at + 15);
    second_nanos_ = value;
    return !__builtin_add_overflow(value, nanos, &out);
  }

  /** Bytes that read_same_second looks at. */
  static constexpr std::size_t SAME_SECOND_BYTES = 31;

  /**
   * As read, of the text that begins at `at` and goes on to a quote, where its second is that of
   * the time before and its fraction has nine digits: at that quote, or nullptr.
   */
  const Byte* read_same_second(const Byte* at, std::int64_t& out) const noexcept {
    const std::uint64_t differences = (load_u64(at) ^ second_low_) |
                                      (load_u64(at + 8) ^ second_middle_) |
                                      (load_u32(at + 15) ^ second_high_);
    const std::uint64_t digits = load_u64(at + 20) ^ repeat('0');
    const unsigned last = static_cast<unsigned>(at[28]) - '0';
    const bool is_plain = differences == 0 && at[19] == '.' && other_bytes(digits) == 0 &&
                          last <= 9 && load_u16(at + 29) == ('Z' | '"' << 8);
    if (!is_plain) return nullptr;
    const std::int64_t nanos = static_cast<std::int64_t>(eight_digits(digits) * 10 + last);
    return __builtin_add_overflow(second_nanos_, nanos, &out) ? nullptr : at + 30;
  }

 private:
  static bool is_utc(const Byte* at, const Byte* text_end) noexcept {
    if (text_end - at == 1) return *at == 'Z';
    return text_end - at == 6 && equal(at, reinterpret_cast<const Byte*>("+00:00"), 6);
  }

  /** Bytes 0 … 7 and 2 … 9 of the day's text. */
  std::uint64_t date_low_ = 0;
  std::uint64_t date_high_ = 0;
  std::int64_t date_seconds_ = 0;
  /** Bytes 0 … 7, 8 … 15, 15 … 18 of the last time's text (at first no text's); its value. */
  std::uint64_t second_low_ = 0;
  std::uint64_t second_middle_ = 0;
  std::uint32_t second_high_ = 0xff;
  std::int64_t second_nanos_ = 0;
};

}  // namespace tickd

#endif
