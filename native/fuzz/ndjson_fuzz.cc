// Fuzz target: normalised lines. Each one that the kernel takes is JSON, and the record its values;
// the quick way and the full one make the same of it.

#include <ctime>

#include "../ndjson_kernel.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;
using oracle::Json;

namespace {

/** RFC 3339 text as nanoseconds, by the C library's calendar. */
std::int64_t nanos_of(const std::string& text) {
  std::tm time{};
  int read = 0;
  CHECK(std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &time.tm_year, &time.tm_mon,
                    &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec, &read) == 6);
  CHECK(read == 19);
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  const std::int64_t seconds = timegm(&time);
  std::string fraction;
  std::size_t at = 19;
  if (text[at] == '.') {
    while (std::isdigit(static_cast<unsigned char>(text[++at]))) fraction += text[at];
  }
  CHECK(text.substr(at) == "Z" || text.substr(at) == "+00:00");
  CHECK(fraction.size() <= 9);
  fraction.resize(9, '0');
  return seconds * 1'000'000'000 + std::stoll(fraction);
}

void check_record(const Json& line, const Tick& tick) {
  const std::string type = line.find("type")->text;
  const Json* interval = line.find("interval_start");
  const bool is_interval = type == "price" && interval != nullptr;
  CHECK(tick.ts_event == nanos_of(is_interval ? interval->text : line.find("ts_event")->text));
  CHECK(layout::KIND_WORDS[tick.kind - 1u] == type);
  const char* const names[][4] = {
      {"price", "size", "id", ""},
      {"bid_price", "bid_size", "ask_price", "ask_size"},
      {"price", "size", "", ""},
      {"price", "energy", "congestion", "loss"},
      {"", "from", "to", ""},
  };
  for (int i = 0; i < 4; i++) {
    const std::string name = names[tick.kind - 1][i];
    const bool is_whole = name == "id" || name == "from" || name == "to";
    const bool is_size = name.find("size") != std::string::npos;
    check_value(name.empty() ? nullptr : line.find(name), is_whole ? 0 : is_size ? 8 : 9,
                tick.p[i]);
  }
  const Json* side = line.find("side");
  const bool has_side = tick.kind == layout::KIND_TRADE || tick.kind == layout::KIND_BOOK;
  if (has_side && side != nullptr && side->kind == Json::string) {
    CHECK(layout::SIDE_WORDS[tick.side] == side->text);
  } else {
    CHECK(tick.side == layout::SIDE_NONE);
  }
}

/** The line's record is what the full way makes of it, which white space in front asks for. */
void check_full_way(const std::string& line, const Tick& tick) {
  const std::string spaced = " " + line;
  const OwnBytes bytes(reinterpret_cast<const Byte*>(spaced.data()), spaced.size());
  BatchMemory memory;
  Batch batch = memory.batch(1);
  const Outcome outcome = decode_ndjson(bytes.frame(), state(), batch);
  CHECK(!outcome.is_left && batch.count == 1);
  CHECK(std::memcmp(memory.ticks.data(), &tick, sizeof tick) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const OwnBytes bytes(data, size);
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  Frame frame = bytes.frame();
  for (;;) {
    const std::size_t before = batch.count;
    const Outcome outcome = decode_ndjson(frame, state(), batch);
    std::uint32_t decoded = 0;
    for (const std::uint32_t count : outcome.decoded) decoded += count;
    CHECK(decoded == batch.count - before);
    for (std::size_t index = before; index < batch.count; index++) {
      const std::size_t start = static_cast<std::size_t>(memory.origins[2 * index]);
      const std::size_t end = static_cast<std::size_t>(memory.origins[2 * index + 1]);
      CHECK(start < end && end <= size && (end == size || data[end] == '\n'));
      oracle::Parser parser(bytes.text(start, end));
      const std::optional<Json> line = parser.parse();
      CHECK(line.has_value() && line->kind == Json::object);
      check_record(*line, memory.tick(index));
      check_full_way(bytes.text(start, end), memory.tick(index));
    }
    if (!outcome.is_left) return 0;
    CHECK(outcome.next <= outcome.left_end && outcome.left_end <= size);
    frame.start = outcome.left_end + 1;
    if (frame.start >= frame.end) return 0;
  }
}
