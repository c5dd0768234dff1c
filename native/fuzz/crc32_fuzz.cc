// Fuzz target: checksums. In one piece and in two, at any alignment, they are those bit by bit.

#include "../crc32_kernel.h"
#include "crc32_oracle.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (!has_crc32() || size < 2) return 0;
  // Where the input is cut in two, and how far from a block's begin it lies.
  const std::size_t cut = data[0] * size / 256;
  const std::size_t shift = data[1] % 64;
  Byte* block = new Byte[shift + size];
  Byte* bytes = block + shift;
  std::memcpy(bytes, data, size);
  const std::uint32_t expected = oracle::crc32(bytes, size, 0);
  CHECK(crc32(bytes, size, 0) == expected);
  CHECK(crc32(bytes + cut, size - cut, crc32(bytes, cut, 0)) == expected);
  delete[] block;
  return 0;
}
