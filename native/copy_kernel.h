// Records -> rows of PostgreSQL's binary COPY format.
//
// The twin of src/storage/postgres/encode.ts: the same bytes. No framing, no I/O.
#ifndef TICKD_COPY_KERNEL_H
#define TICKD_COPY_KERNEL_H

#include "tick.h"

namespace tickd {

/** Which rows: row r is tick order[r] of the batch; tick i has the sequence first_seq + i. */
struct CopyRows {
  std::uint8_t kind;
  const Byte* ticks;
  std::size_t tick_count;
  const std::int32_t* order;
  std::size_t from;
  std::size_t to;
  std::uint64_t shard;
  std::uint64_t first_seq;
};

/** Bytes that the rows may take at most; 0 for a kind without a table. */
std::size_t copy_bytes_max(const CopyRows& rows) noexcept;

/**
 * Writes the rows to `out`, which has room for copy_bytes_max. Returns what is behind the last
 * byte; nullptr where the kind has no table or a row names no tick of the batch.
 */
Byte* encode_copy(const CopyRows& rows, Byte* out) noexcept;

}  // namespace tickd

#endif
