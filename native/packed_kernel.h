// Packed ticks -> records: the form of each is checked, and what is ours is written over it.
//
// The twin of src/decode/packed.ts for ticks that it accepts; at any other the kernel stops.
#ifndef TICKD_PACKED_KERNEL_H
#define TICKD_PACKED_KERNEL_H

#include "instrument_table.h"
#include "tick.h"

namespace tickd {

/** Takes the ticks of the frame, whose size is a multiple of a tick's, from its start on. */
Outcome decode_packed(const Frame& frame, const InstrumentTable& instruments,
                      Batch& batch) noexcept;

}  // namespace tickd

#endif
