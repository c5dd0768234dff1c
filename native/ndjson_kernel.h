// Normalised records, one JSON object a line -> records.
//
// The twin of src/decode/ndjson.ts for lines that become records; at any other line the kernel
// stops, and the twin decodes that one.
#ifndef TICKD_NDJSON_KERNEL_H
#define TICKD_NDJSON_KERNEL_H

#include "decoder_state.h"
#include "tick.h"

namespace tickd {

/** Decodes the lines of the frame from its start on. */
Outcome decode_ndjson(const Frame& frame, DecoderState& state, Batch& batch) noexcept;

}  // namespace tickd

#endif
