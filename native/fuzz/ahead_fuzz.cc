// Fuzz target: what lies behind a frame on a ring. Each record that is decoded ahead is that which
// its frame becomes alone, and frames follow each other within the memory.

#include "../binance_kernel.h"
#include "../test/ring_frames.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, size % 2 == 1};
  RingFrames ring;
  ring.add("{}", 1);
  const std::size_t start = layout::FRAME_HEADER_BYTES;
  ring.add_raw(data, size);
  const Frame first{ring.bytes(), start, start + 2, RECV, SOURCE, 0, ring.size()};
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  decode_binance_ahead(first, ring.size(), venue, state(), batch);
  CHECK(batch.count < FRAMES_AT_ONCE);
  std::size_t behind = first.end;
  for (std::size_t i = 0; i < batch.count; i++) {
    Frame frame = first;
    frame.start = static_cast<std::size_t>(memory.origins[2 * i]);
    frame.end = static_cast<std::size_t>(memory.origins[2 * i + 1]);
    const std::size_t head = frame.start - layout::FRAME_HEADER_BYTES;
    CHECK(head >= behind && head - behind < layout::FRAME_ALIGN_BYTES && head % 8 == 0);
    CHECK(frame.end >= frame.start && frame.end <= ring.size());
    behind = frame.end;
    const Tick tick = memory.tick(i);
    frame.ts_recv = tick.ts_recv;
    BatchMemory alone;
    Batch one = alone.batch(1);
    DepthUpdate depth{};
    const BinanceCode code = decode_binance(frame, venue, state(), one, depth);
    CHECK(code == (tick.kind == layout::KIND_TRADE ? BinanceCode::trade : BinanceCode::quote));
    const Tick same = alone.tick(0);
    CHECK(std::memcmp(&same, &tick, sizeof tick) == 0);
  }
  return 0;
}
