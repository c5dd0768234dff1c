// The kernel of checksums: see crc32_kernel.h.
//
// x86-64: folding by carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ", Intel 2009), in the reflected form. Bytes are a polynomial over
// GF(2), and a block of it may be replaced by one further on that is the same modulo the CRC's
// polynomial. The constants are powers of x modulo it, worked out by the compiler.

#include "crc32_kernel.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace tickd {

#if defined(__x86_64__)
namespace {

/** The polynomial without x^32; bit 31 is x^0, as in all that follows. */
constexpr std::uint32_t POLYNOMIAL = 0xedb88320;

/** x times the value, modulo the polynomial. */
constexpr std::uint32_t times_x(std::uint32_t value) noexcept {
  return value >> 1 ^ ((value & 1) != 0 ? POLYNOMIAL : 0);
}

/** x^n modulo the polynomial, as a factor: products of reflected values come out one bit low. */
constexpr std::int64_t power(int n) noexcept {
  std::uint32_t value = 0x80000000;
  for (int i = 0; i < n; i++) value = times_x(value);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << 1);
}

/** By byte and by how many bytes follow it: what it adds to the CRC. */
constexpr auto TABLES = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; byte++) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = times_x(value);
    tables[0][byte] = value;
  }
  for (std::size_t table = 1; table < 8; table++) {
    for (std::size_t byte = 0; byte < 256; byte++) {
      const std::uint32_t value = tables[table - 1][byte];
      tables[table][byte] = value >> 8 ^ tables[0][value & 0xff];
    }
  }
  return tables;
}();

/** For what is too short to be folded. `state` is the CRC's complement, here and below. */
std::uint32_t by_table(const Byte* bytes, std::size_t size, std::uint32_t state) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const std::uint64_t text = load_u64(bytes + i) ^ state;
    state = 0;
    for (std::size_t byte = 0; byte < 8; byte++) {
      state ^= TABLES[7 - byte][text >> (byte * 8) & 0xff];
    }
  }
  for (; i < size; i++) state = state >> 8 ^ TABLES[0][(state ^ bytes[i]) & 0xff];
  return state;
}

[[gnu::target("pclmul,sse4.1")]] inline __m128i load(const Byte* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

/** The block moved on by the distance whose powers these are, and the block that lies there. */
[[gnu::target("pclmul,sse4.1")]] inline __m128i fold(__m128i block, __m128i powers,
                                                     __m128i there) noexcept {
  const __m128i low = _mm_clmulepi64_si128(block, powers, 0x00);
  const __m128i high = _mm_clmulepi64_si128(block, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), there);
}

/** The CRC's state behind a block of 128 bits, as what a table makes of its bytes. */
[[gnu::target("pclmul,sse4.1")]] inline std::uint32_t state_of(__m128i block) noexcept {
  Byte bytes[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), block);
  return by_table(bytes, sizeof bytes, 0);
}

constexpr std::size_t LANES = 4;
constexpr std::size_t STRIDE = LANES * 16;

/** What moves a block on by a stride, and by its own size: for its low half, for its high one. */
constexpr std::int64_t FAR_LOW = power(STRIDE * 8 + 32);
constexpr std::int64_t FAR_HIGH = power(STRIDE * 8 - 32);
constexpr std::int64_t NEAR_LOW = power(128 + 32);
constexpr std::int64_t NEAR_HIGH = power(128 - 32);

/** At least a stride of bytes. */
[[gnu::target("pclmul,sse4.1")]] std::uint32_t by_folding(const Byte* bytes, std::size_t size,
                                                          std::uint32_t state) noexcept {
  const Byte* at = bytes;
  const Byte* const end = bytes + size;
  __m128i lanes[LANES];
  for (std::size_t i = 0; i < LANES; i++) lanes[i] = load(at + i * 16);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(static_cast<int>(state)));
  at += STRIDE;
  const __m128i far = _mm_set_epi64x(FAR_HIGH, FAR_LOW);
  for (; end - at >= static_cast<std::ptrdiff_t>(STRIDE); at += STRIDE) {
    for (std::size_t i = 0; i < LANES; i++) lanes[i] = fold(lanes[i], far, load(at + i * 16));
  }
  const __m128i near = _mm_set_epi64x(NEAR_HIGH, NEAR_LOW);
  __m128i block = lanes[0];
  for (std::size_t i = 1; i < LANES; i++) block = fold(block, near, lanes[i]);
  for (; end - at >= 16; at += 16) block = fold(block, near, load(at));
  return by_table(at, static_cast<std::size_t>(end - at), state_of(block));
}

}  // namespace

bool has_crc32() noexcept {
  return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

std::uint32_t crc32(const Byte* bytes, std::size_t size, std::uint32_t before) noexcept {
  return ~(size < STRIDE ? by_table(bytes, size, ~before) : by_folding(bytes, size, ~before));
}

#elif defined(__ARM_FEATURE_CRC32)

bool has_crc32() noexcept { return true; }

std::uint32_t crc32(const Byte* bytes, std::size_t size, std::uint32_t before) noexcept {
  std::uint32_t state = ~before;
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) state = __crc32d(state, load_u64(bytes + i));
  for (; i < size; i++) state = __crc32b(state, bytes[i]);
  return ~state;
}

#else

bool has_crc32() noexcept { return false; }

std::uint32_t crc32(const Byte*, std::size_t, std::uint32_t before) noexcept { return before; }

#endif

}  // namespace tickd
