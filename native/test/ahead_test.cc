// Unit tests of what is decoded ahead: run under the address and undefined-behaviour sanitizers.

#include "../binance_kernel.h"
#include "../fuzz/fuzz_frame.h"
#include "ring_frames.h"

using namespace tickd;
using namespace tickd::test;

namespace {

constexpr std::string_view TRADE =
    R"({"e":"trade","E":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30000000",)"
    R"("q":"0.00600000","T":1723161256321,"m":false,"M":true})";
constexpr std::string_view DEPTH =
    R"({"e":"depthUpdate","E":1723161256322,"s":"BTCUSDT","U":5,"u":5,"b":[["1.5","2"]],"a":[]})";

/** Of the frames behind the first: how many are decoded ahead; their records are in `memory`. */
std::size_t ahead(RingFrames& ring, BatchMemory& memory, std::size_t end,
                  std::size_t capacity = BATCH_TICKS, std::size_t size = TRADE.size()) {
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, false};
  const std::size_t start = layout::FRAME_HEADER_BYTES;
  const Frame first{ring.bytes(), start, start + size, 7, SOURCE, 0, ring.size()};
  Batch batch = memory.batch(capacity);
  decode_binance_ahead(first, end, venue, state(), batch);
  return batch.count;
}

std::size_t ahead(RingFrames& ring) {
  BatchMemory memory;
  return ahead(ring, memory, ring.size());
}

RingFrames trades(int count) {
  RingFrames ring;
  for (int i = 0; i < count; i++) ring.add(TRADE, 100 + static_cast<std::uint32_t>(i));
  return ring;
}

void trades_are_decoded_with_their_time_and_origin() {
  RingFrames ring = trades(4);
  BatchMemory memory;
  CHECK(ahead(ring, memory, ring.size()) == 3);
  for (std::size_t i = 0; i < 3; i++) {
    const Tick tick = memory.tick(i);
    CHECK(tick.kind == layout::KIND_TRADE && tick.p[0] == 61'800'300'000'000);
    CHECK(tick.ts_recv == 1'000'000'101 + static_cast<std::int64_t>(i) && tick.source == SOURCE);
    const int start = memory.origins[2 * i];
    CHECK(std::memcmp(ring.bytes() + start, TRADE.data(), TRADE.size()) == 0);
    CHECK(memory.origins[2 * i + 1] == start + static_cast<int>(TRADE.size()));
  }
}

void there_is_a_bound() {
  RingFrames ring = trades(40);
  CHECK(ahead(ring) == FRAMES_AT_ONCE - 1);
  BatchMemory memory;
  CHECK(ahead(ring, memory, ring.size(), 5) == 5);  // the batch is full
}

void only_whole_frames_before_the_end_are_looked_at() {
  RingFrames ring = trades(3);
  const std::size_t each = ring.size() / 3;
  // A frame's padding is not its own.
  const std::size_t whole = layout::FRAME_HEADER_BYTES + TRADE.size();
  for (std::size_t end = 0; end <= ring.size(); end++) {
    const std::size_t expected = end >= 2 * each + whole ? 2 : end >= each + whole ? 1 : 0;
    BatchMemory memory;
    CHECK(ahead(ring, memory, end) == expected);
  }
}

void all_plain_forms_are_decoded() {
  constexpr std::string_view LEVELS = R"("b":"1.50","B":"2.0","a":"1.75","A":"3.0")";
  const std::string symbol = R"("s":"BTCUSDT",)" + std::string(LEVELS);
  const std::string times = R"(,"T":1723161256321,"E":1723161256322})";
  const std::string quote = R"({"u":4,)" + symbol + "}";
  const std::string late = R"({"e":"bookTicker","u":4,)" + symbol + times;
  const std::string early =
      R"({"e":"bookTicker","u":4,"E":1723161256322,"T":1723161256321,)" + symbol + "}";
  RingFrames ring = trades(1);
  for (const std::string& payload : {quote, late, early, std::string(TRADE)}) {
    ring.add(payload, 1);
    ring.add(R"({"stream":"btcusdt@x","data":)" + payload + "}", 1);
  }
  BatchMemory memory;
  CHECK(ahead(ring, memory, ring.size()) == 8);
  for (std::size_t i = 0; i < 6; i++) {
    const Tick tick = memory.tick(i);
    CHECK(tick.kind == layout::KIND_QUOTE && tick.side == layout::SIDE_NONE);
    CHECK(tick.flags == layout::FLAG_LAST);
    CHECK(tick.ts_event == (i < 2 ? tick.ts_recv : 1'723'161'256'321'000'000));
    CHECK(tick.p[0] == 1'500'000'000 && tick.p[1] == 200'000'000);
    CHECK(tick.p[2] == 1'750'000'000 && tick.p[3] == 300'000'000);
  }
}

void it_ends_at_what_is_not_plain() {
  RingFrames ring = trades(2);
  ring.add(DEPTH, 1);
  ring.add(TRADE, 1);
  CHECK(ahead(ring) == 1);
}

void it_ends_at_frames_of_another_sort() {
  for (const std::size_t field :
       {layout::FRAME_SOURCE, layout::FRAME_FORMAT, layout::FRAME_FLAGS}) {
    RingFrames ring = trades(1);
    const std::size_t head = ring.size();
    ring.add(TRADE, 1);
    CHECK(ahead(ring) == 1);
    RingFrames other = trades(1);
    std::vector<Byte> frame(ring.bytes() + head, ring.bytes() + ring.size());
    frame[field] ^= 4;
    other.add_raw(frame.data(), frame.size());
    CHECK(ahead(other) == 0);
  }
}

void it_ends_where_the_ring_turns_or_a_header_is_none() {
  for (const std::uint32_t length : {0xffff'ffffu, 0x7fff'ffffu, 0x8000'0000u}) {
    RingFrames ring = trades(2);
    ring.put(ring.size() / 2 + layout::FRAME_LENGTH, length);
    CHECK(ahead(ring) == 0);
  }
  RingFrames ring = trades(2);
  ring.put(ring.size() / 2 + layout::FRAME_TS_RECV + 4, 1'000'000'000);
  CHECK(ahead(ring) == 0);
}

void a_frame_that_lies_on_no_ring_has_none_behind() {
  const std::string text = std::string(TRADE) + std::string(TRADE);
  const Frame first{TableFixture::bytes(text), 0, TRADE.size(), 7, SOURCE, 0, text.size()};
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, false};
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  decode_binance_ahead(first, text.size(), venue, state(), batch);
  CHECK(batch.count == 0);
}

}  // namespace

int main() {
  trades_are_decoded_with_their_time_and_origin();
  there_is_a_bound();
  only_whole_frames_before_the_end_are_looked_at();
  all_plain_forms_are_decoded();
  it_ends_at_what_is_not_plain();
  it_ends_at_frames_of_another_sort();
  it_ends_where_the_ring_turns_or_a_header_is_none();
  a_frame_that_lies_on_no_ring_has_none_behind();
  std::puts("native decoding ahead: all tests passed");
  return 0;
}
