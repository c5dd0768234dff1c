// A run of records -> the latest table: of each instrument and kind only the newest is written.
//
// The twin of src/aggregate/latest-writer.ts, on the same memory. No waiting, no I/O.
#ifndef TICKD_LATEST_KERNEL_H
#define TICKD_LATEST_KERNEL_H

#include "tick.h"

namespace tickd {

/** The table's shared memory, as src/aggregate/latest-table-layout.ts lays it out. */
struct LatestTable {
  /** On eight bytes; LATEST_SLOT_WORDS each. */
  std::int32_t* words;
  std::size_t slot_count;
  /** Number of the run in which a slot was last written, a word a slot: the writer's own. */
  std::int32_t* stamps;
};

/**
 * Applies `count` records; the first has the sequence `first_seq`. `run` differs from that of the
 * runs before it. A record of an instrument beyond the table, of a kind without a latest value, or
 * flagged OUT_OF_ORDER is passed over. Readers on other threads see each slot whole or not at all.
 */
void apply_latest(const LatestTable& table, const Byte* ticks, std::size_t count,
                  std::uint64_t first_seq, std::int32_t run) noexcept;

}  // namespace tickd

#endif
