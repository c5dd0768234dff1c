// Unit tests of the kernels that take records or bytes: run under the address and
// undefined-behaviour sanitizers. The first CHECK that fails aborts with its line.

#include "../copy_kernel.h"
#include "../crc32_kernel.h"
#include "../fuzz/crc32_oracle.h"
#include "../fuzz/fuzz_frame.h"
#include "../latest_kernel.h"

using namespace tickd;
using namespace tickd::test;

namespace {

void a_row_is_as_postgresql_reads_it() {
  Tick tick{};
  tick.kind = layout::KIND_TRADE;
  tick.ts_recv = 7;
  tick.ts_event = 946'684'800'000'001'002;
  tick.instrument = 5;
  tick.p[3] = NULL_VALUE;
  const std::int32_t order = 0;
  const CopyRows rows{layout::KIND_TRADE, reinterpret_cast<const Byte*>(&tick), 1, &order, 0, 1, 1,
                      0x0000'0001'0000'0002};
  std::vector<Byte> out(copy_bytes_max(rows));
  const Byte* end = encode_copy(rows, out.data());
  CHECK(end == out.data() + out.size() - 8);  // a null is eight bytes shorter
  const std::vector<Byte> head = {0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1,
                                  0, 0,  0, 8, 0, 1, 0, 1, 0, 0, 0, 2};
  CHECK(std::equal(head.begin(), head.end(), out.begin()));
}

void the_newest_of_a_run_is_kept() {
  Tick ticks[5]{};
  for (Tick& tick : ticks) {
    tick.kind = layout::KIND_TRADE;
    tick.instrument = 1;
  }
  ticks[2].instrument = 3;  // beyond the table
  ticks[3].p[0] = 77;
  ticks[4].flags = layout::FLAG_OUT_OF_ORDER;
  std::vector<std::int32_t> words(layout::LATEST_KIND_COUNT * layout::LATEST_SLOT_WORDS);
  std::vector<std::int32_t> stamps(layout::LATEST_KIND_COUNT);
  const LatestTable table{words.data(), stamps.size(), stamps.data()};
  const Byte* bytes = reinterpret_cast<const Byte*>(ticks);
  apply_latest(table, bytes, 5, (1ull << 32) + 1, 1);
  CHECK(words[layout::LATEST_VERSION] == 2);
  CHECK(words[layout::LATEST_SEQ_LOW] == 4);
  CHECK(words[layout::LATEST_SEQ_HIGH] == 1);
  CHECK(std::memcmp(&words[layout::LATEST_RECORD], &ticks[3], sizeof(Tick)) == 0);
  apply_latest(table, bytes, 1, 9, 1);  // of the same run: it was met
  CHECK(words[layout::LATEST_VERSION] == 2);
  apply_latest(table, bytes, 1, 9, 2);
  CHECK(words[layout::LATEST_VERSION] == 4);
  CHECK(words[layout::LATEST_SEQ_LOW] == 9);
}

void checksums_are_those_bit_by_bit() {
  if (!has_crc32()) return;
  const std::string_view check = "123456789";
  CHECK(crc32(TableFixture::bytes(check), check.size(), 0) == 0xcbf43926);
  for (std::size_t size = 0; size <= 300; size++) {
    for (std::size_t shift = 0; shift < 16; shift++) {
      // A block of its own for each: a byte read behind it is found.
      std::vector<Byte> block(shift + size);
      for (std::size_t i = 0; i < block.size(); i++) {
        block[i] = static_cast<Byte>((i + 1) * 167 + i / 7 + size);
      }
      const Byte* bytes = block.data() + shift;
      const std::uint32_t expected = oracle::crc32(bytes, size, 0);
      CHECK(crc32(bytes, size, 0) == expected);
      const std::size_t cut = size * shift / 16;
      CHECK(crc32(bytes + cut, size - cut, crc32(bytes, cut, 0)) == expected);
    }
  }
}

}  // namespace

int main() {
  a_row_is_as_postgresql_reads_it();
  the_newest_of_a_run_is_kept();
  checksums_are_those_bit_by_bit();
  std::puts("native kernels of records: all tests passed");
  return 0;
}
