// CRC-32 bit by bit, from its definition: what the kernel's is compared with.
#ifndef TICKD_CRC32_ORACLE_H
#define TICKD_CRC32_ORACLE_H

#include <cstddef>
#include <cstdint>

namespace tickd::oracle {

/** As crc32 of crc32_kernel.h. */
inline std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size, std::uint32_t before) {
  std::uint32_t rest = ~before;
  for (std::size_t i = 0; i < size; i++) {
    rest ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) rest = (rest & 1) != 0 ? rest >> 1 ^ 0xedb88320u : rest >> 1;
  }
  return ~rest;
}

}  // namespace tickd::oracle

#endif
