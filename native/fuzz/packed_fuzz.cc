// Fuzz target: packed ticks. What the kernel takes has a legal form, and ours are the head's times.

#include "../packed_kernel.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // One byte more in front: the frame need not be aligned.
  if (size < 1) return 0;
  const OwnBytes bytes(data, 1 + (size - 1) / sizeof(Tick) * sizeof(Tick));
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  Frame frame = bytes.frame();
  frame.start = 1;
  frame.end = 1 + (size - 1) / sizeof(Tick) * sizeof(Tick);
  while (frame.start < frame.end) {
    const Outcome outcome = decode_packed(frame, state().instruments, batch);
    if (!outcome.is_left) break;
    CHECK(outcome.left_end == outcome.next + sizeof(Tick) && outcome.left_end <= frame.end);
    frame.start = outcome.left_end;
  }
  for (std::size_t index = 0; index < batch.count; index++) {
    const Tick tick = memory.tick(index);
    Tick sent;
    std::memcpy(&sent, data + memory.origins[2 * index], sizeof sent);
    check_head(tick, sent.kind);
    CHECK(tick.kind >= 1 && tick.kind < layout::KIND_COUNT && tick.side <= 2);
    CHECK(tick.ts_event >= 0 && tick.ts_event == sent.ts_event);
    CHECK(std::memcmp(tick.p, sent.p, sizeof tick.p) == 0);
    CHECK((tick.flags & ~(layout::SENDER_FLAGS | layout::FLAG_REPLAYED)) == 0);
  }
  return 0;
}
