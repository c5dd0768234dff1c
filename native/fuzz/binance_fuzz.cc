// Fuzz target: a Binance frame. What the kernel takes is JSON, and the records are its values. They
// are the same by the quick way and without it, and whatever lies around the frame.

#include "../binance_kernel.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;
using oracle::Json;

namespace {

void check_epoch(const Json& payload, std::int64_t actual) {
  const Json* time = payload.find("T") != nullptr ? payload.find("T") : payload.find("E");
  CHECK(time != nullptr && time->kind == Json::number);
  const std::int64_t value = oracle::decimal(time->text, 0).value();
  CHECK(actual == (value < 100'000'000'000'000 ? value * 1'000'000 : value * 1000));
}

void check_trade(const Json& payload, const Tick& tick) {
  check_head(tick, layout::KIND_TRADE);
  check_epoch(payload, tick.ts_event);
  const bool is_aggregate = payload.find("e")->text == "aggTrade";
  CHECK(is_aggregate || payload.find("e")->text == "trade");
  check_decimal(payload.find("p"), 9, tick.p[0]);
  check_decimal(payload.find("q"), 8, tick.p[1]);
  CHECK(oracle::decimal(payload.find(is_aggregate ? "a" : "t")->text, 0) == tick.p[2]);
  CHECK(tick.p[3] == NULL_VALUE);
  CHECK(tick.side == (payload.find("m")->text == "true" ? layout::SIDE_SELL : layout::SIDE_BUY));
}

void check_quote(const Json& payload, const Tick& tick) {
  check_head(tick, layout::KIND_QUOTE);
  const bool has_time = payload.find("T") != nullptr || payload.find("E") != nullptr;
  if (has_time) check_epoch(payload, tick.ts_event);
  else CHECK(tick.ts_event == RECV);
  check_decimal(payload.find("b"), 9, tick.p[0]);
  check_decimal(payload.find("B"), 8, tick.p[1]);
  check_decimal(payload.find("a"), 9, tick.p[2]);
  check_decimal(payload.find("A"), 8, tick.p[3]);
}

void check_depth(const Json& payload, const DepthUpdate& depth, const BatchMemory& memory) {
  CHECK(payload.find("e")->text == "depthUpdate");
  CHECK(oracle::decimal(payload.find("U")->text, 0) == static_cast<std::int64_t>(depth.first));
  CHECK(oracle::decimal(payload.find("u")->text, 0) == static_cast<std::int64_t>(depth.last));
  CHECK(depth.previous < static_cast<std::int64_t>(depth.first) && depth.first <= depth.last);
  std::size_t index = 0;
  for (const char* side : {"b", "a"}) {
    for (const Json& level : payload.find(side)->items) {
      const Tick tick = memory.tick(index++);
      check_head(tick, layout::KIND_BOOK);
      check_epoch(payload, tick.ts_event);
      CHECK(level.items.size() == 2);
      check_decimal(&level.items[0], 9, tick.p[0]);
      check_decimal(&level.items[1], 8, tick.p[1]);
      CHECK(tick.p[2] == static_cast<std::int64_t>(depth.last) && tick.p[3] == NULL_VALUE);
      CHECK(tick.side == (*side == 'b' ? layout::SIDE_BUY : layout::SIDE_SELL));
      CHECK((tick.action == layout::ACTION_DELETE) == (tick.p[1] == 0));
    }
  }
  CHECK(index == depth.level_count);
}

/** Decoded from a part of other memory, the frame is what it is alone: code and records. */
void check_same(const Frame& part, const BinanceVenue& venue, BinanceCode code,
                const BatchMemory& memory, const DepthUpdate& depth) {
  BatchMemory other;
  Batch batch = other.batch(BATCH_TICKS);
  DepthUpdate other_depth{};
  CHECK(decode_binance(part, venue, state(), batch, other_depth) == code);
  CHECK(other_depth.level_count == depth.level_count);
  const std::size_t count = batch.count + depth.level_count;
  if (code != BinanceCode::left) {
    CHECK(std::memcmp(other.ticks.data(), memory.ticks.data(), count * sizeof(Tick)) == 0);
  }
}

/** A blank before the frame makes the quick way give up, and changes nothing. */
void check_slowly(const std::string& text, const BinanceVenue& venue, BinanceCode code,
                  const BatchMemory& memory, const DepthUpdate& depth) {
  const std::string spaced = " " + text;
  const OwnBytes bytes(TableFixture::bytes(spaced), spaced.size());
  check_same(bytes.frame(), venue, code, memory, depth);
}

/** Nor does what can be read behind it: the frame goes on, as it were. */
void check_amid(const std::string& text, const BinanceVenue& venue, BinanceCode code,
                const BatchMemory& memory, const DepthUpdate& depth) {
  std::string around = text;
  while (around.size() < 2048) around += text.substr(text.size() / 2) + "}";
  const OwnBytes bytes(TableFixture::bytes(around), around.size());
  Frame frame = bytes.frame();
  frame.readable_end = frame.end;
  frame.end = text.size();
  check_same(frame, venue, code, memory, depth);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, size % 2 == 1};
  const OwnBytes bytes(data, size);
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  DepthUpdate depth{};
  const BinanceCode code = decode_binance(bytes.frame(), venue, state(), batch, depth);
  const bool is_record = code == BinanceCode::trade || code == BinanceCode::quote;
  CHECK(batch.count == (is_record ? 1u : 0u));
  check_slowly(bytes.text(), venue, code, memory, depth);
  check_amid(bytes.text(), venue, code, memory, depth);
  if (code == BinanceCode::left) return 0;
  oracle::Parser parser(bytes.text());
  const std::optional<Json> message = parser.parse();
  CHECK(message.has_value() && message->kind == Json::object);
  const Json* stream = message->find("stream");
  const bool is_combined = stream != nullptr && stream->kind == Json::string;
  const Json& payload = is_combined ? *message->find("data") : *message;
  if (code == BinanceCode::trade) check_trade(payload, memory.tick(0));
  else if (code == BinanceCode::quote) check_quote(payload, memory.tick(0));
  else check_depth(payload, depth, memory);
  return 0;
}
