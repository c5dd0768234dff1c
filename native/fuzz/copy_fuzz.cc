// Fuzz target: COPY rows of arbitrary ticks. The rows are as long as their columns say, and fit.

#include "../copy_kernel.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;

namespace {

std::uint32_t big_endian(const Byte* at, int width) {
  std::uint32_t value = 0;
  for (int i = 0; i < width; i++) value = value << 8 | at[i];
  return value;
}

/** Behind the row at `at`; its columns have sizes that columns may have. */
const Byte* skip_row(const Byte* at, std::size_t columns) {
  CHECK(big_endian(at, 2) == columns);
  at += 2;
  for (std::size_t i = 0; i < columns; i++) {
    const std::uint32_t size = big_endian(at, 4);
    CHECK(size == 2 || size == 4 || size == 8 || size == 0xffff'ffff);
    at += size == 0xffff'ffff ? 4 : 4 + size;
  }
  return at;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t count = (size - 1) / sizeof(Tick);
  // Without a row there is no memory to write to.
  if (count == 0) return 0;
  const OwnBytes ticks(data + 1, count * sizeof(Tick));
  std::vector<std::int32_t> order;
  for (std::size_t i = count; i > 0; i--) order.push_back(static_cast<std::int32_t>(i - 1));
  // At times a row that names no tick: refused, not read.
  const bool is_wrong = (data[0] & 0x80) != 0;
  if (is_wrong) order.back() = static_cast<std::int32_t>(count) + (data[0] & 0x40) * 1'000'000;
  CopyRows rows{};
  rows.kind = data[0] & 0x0f;
  rows.ticks = ticks.frame().bytes;
  rows.tick_count = count;
  rows.order = order.data();
  rows.to = count;
  rows.shard = 63;
  rows.first_seq = 0xffff'ffff;
  std::vector<Byte> out(copy_bytes_max(rows));
  const Byte* end = encode_copy(rows, out.data());
  const bool has_table = rows.kind >= 1 && rows.kind < layout::KIND_COUNT;
  CHECK((end == nullptr) == (is_wrong || !has_table));
  if (end == nullptr) return 0;
  const Byte* at = out.data();
  for (std::size_t row = 0; row < count; row++) {
    at = skip_row(at, layout::COPY_COLUMNS[rows.kind]);
  }
  CHECK(at == end && end <= out.data() + out.size());
  return 0;
}
