// CRC-32 as zlib has it, by the CPU's own multiplication of polynomials.
//
// For large blocks: what the C library of zlib does, faster. Only where the CPU can; elsewhere the
// caller takes zlib's.
#ifndef TICKD_CRC32_KERNEL_H
#define TICKD_CRC32_KERNEL_H

#include "bytes.h"

namespace tickd {

/** Can this CPU do it? The same for as long as the process lives. */
bool has_crc32() noexcept;

/**
 * The CRC-32 of `size` bytes that come behind others whose CRC-32 is `before` (0 = none). Only
 * where has_crc32() says so.
 */
std::uint32_t crc32(const Byte* bytes, std::size_t size, std::uint32_t before) noexcept;

}  // namespace tickd

#endif
