// Unit tests of the kernels that decode: run under the address and undefined-behaviour sanitizers.
//
// Frames are heap blocks of exactly their size, so that a byte read beside one is found. Each test
// is a function; the first CHECK that fails aborts with its line.

#include "../binance_kernel.h"
#include "../fuzz/fuzz_frame.h"
#include "../ndjson_kernel.h"
#include "../packed_kernel.h"

using namespace tickd;
using namespace tickd::test;

namespace {

OwnBytes own(std::string_view text) { return {TableFixture::bytes(text), text.size()}; }

/** The code for a frame of Binance spot; the records are in `memory`. */
BinanceCode binance(std::string_view text, BatchMemory& memory, DepthUpdate& depth,
                    std::size_t capacity = BATCH_TICKS) {
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, false};
  const OwnBytes bytes = own(text);
  Batch batch = memory.batch(capacity);
  return decode_binance(bytes.frame(), venue, state(), batch, depth);
}

BinanceCode binance(std::string_view text) {
  BatchMemory memory;
  DepthUpdate depth{};
  return binance(text, memory, depth);
}

constexpr std::string_view TRADE =
    R"({"e":"trade","E":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30000000",)"
    R"("q":"0.00600000","T":1723161256321,"m":false,"M":true})";

void a_trade_is_its_values() {
  BatchMemory memory;
  DepthUpdate depth{};
  CHECK(binance(TRADE, memory, depth) == BinanceCode::trade);
  const Tick tick = memory.tick(0);
  check_head(tick, layout::KIND_TRADE);
  CHECK(tick.ts_event == 1'723'161'256'321'000'000 && tick.instrument == 1);
  CHECK(tick.side == layout::SIDE_BUY && tick.action == 0 && tick.interval == 0);
  CHECK(tick.flags == (layout::FLAG_LAST | layout::FLAG_REPLAYED));
  CHECK(tick.p[0] == 61'800'300'000'000 && tick.p[1] == 600'000);
  CHECK(tick.p[2] == 5'266'583'935 && tick.p[3] == NULL_VALUE);
}

void every_cut_of_a_trade_is_left() {
  for (std::size_t size = 0; size < TRADE.size(); size++) {
    CHECK(binance(TRADE.substr(0, size)) == BinanceCode::left);
  }
}

void what_is_rare_is_left() {
  const std::string trade(TRADE);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"BTCUSDT", "XRPUSDT"},                // unknown instrument
           {"BTCUSDT", "BTC\\u0055SDT"},          // escape
           {"BTCUSDT", ""},                       // no name
           {"\"61800.30000000\"", "61800.3"},     // a number where a string has to be
           {"61800.30000000", "61800.3000000001"},  // too many decimals
           {"61800.30000000", "9223372037"},      // overflow
           {"61800.30000000", "1e5"},
           {"61800.30000000", "."},
           {"61800.30000000", "-"},
           {"5266583935", "5266583935.0"},
           {"5266583935", "05"},
           {"5266583935", "9223372036854775808"},
           {"\"T\":1723161256321", "\"T\":-1"},
           {"\"T\":1723161256321", "\"T\":9007199254740993"},
           {"false", "0"},
           {"false", "fals"},
           {"\"trade\"", "\"trades\""},
           {"{\"e\"", "[{\"e\""},
           {"true}", "true} x"},
           {"true}", "true,}"},
           {"true}", "[[1,{}],tru]}"},
       }) {
    std::string text = trade;
    text.replace(text.find(from), from.size(), to);
    CHECK(binance(text) == BinanceCode::left);
  }
  BatchMemory memory;
  DepthUpdate depth{};
  CHECK(binance(TRADE, memory, depth, 0) == BinanceCode::left);  // no room
}

void what_is_legal_is_taken() {
  const std::string trade(TRADE);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"61800.30000000", "-0.000000001"},
           {"61800.30000000", "9223372036.854775807"},
           {"61800.30000000", "00001"},
           {"5266583935", "-999999999999999999"},
           {"\"T\":1723161256321", "\"T\":9007199254740991"},
           {"\"T\":1723161256321,", ""},
           {"true}", "{\"a\":[1,-2.5e-7,\"\xff\",{\"b\":null}]}}\r\n"},
           {"\"M\":true", " \"e\" : \"trade\" "},
       }) {
    std::string text = trade;
    text.replace(text.find(from), from.size(), to);
    CHECK(binance(text) == BinanceCode::trade);
  }
}

/** The forms that the quick way takes. */
const std::vector<std::string> FORMS = {
    std::string(TRADE),
    R"({"e":"trade","E":1723161256322,"s":"BTCUSDT","t":12345678,"p":"1.5","q":"100.006",)"
    R"("b":88,"a":506183391,"T":1723161256321,"m":true,"M":false})",
    R"({"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256320,)"
    R"("s":"BTCUSDT","t":7,"p":"61800.30","q":"0.006","X":"MARKET","m":false}})",
    R"({"e":"aggTrade","E":1723161256322,"s":"BTCUSDT","a":123456789012345,"p":"92000000.3",)"
    R"("q":"99999999.99999999","f":1,"l":19862790,"T":1723161256321,"m":true,"M":true})",
    R"({"e":"aggTrade","E":1723161256322,"a":1234,"s":"BTCUSDT","p":"1","q":"-0.00000001",)"
    R"("f":12345678901,"l":2,"T":1723161256321000,"m":true})",
};

/** What the kernel makes of a text that lies in memory of its own, or goes on as `behind` there. */
std::pair<BinanceCode, Tick> decoded(const std::string& text, const std::string& behind = "") {
  const BinanceVenue venue{TableFixture::bytes("binance"), 7, false};
  const OwnBytes bytes = own(text + behind);
  Frame frame = bytes.frame();
  frame.readable_end = frame.end;
  frame.end = text.size();
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  DepthUpdate depth{};
  const BinanceCode code = decode_binance(frame, venue, state(), batch, depth);
  return {code, code == BinanceCode::left ? Tick{} : memory.tick(0)};
}

/** The quick way where the frame lies, and on a copy; and a blank, which it does not take. */
void check_every_way(const std::string& text) {
  const auto [code, tick] = decoded(" " + text);
  for (const std::string& behind : {std::string(), text, std::string(2048, '9')}) {
    const auto [other_code, other] = decoded(text, behind);
    CHECK(other_code == code);
    CHECK(std::memcmp(&other, &tick, sizeof tick) == 0);
  }
}

void a_trade_is_the_same_by_the_quick_way() {
  const std::string_view others("\"\\{}[]:,.-+eE09tf \n\0\x7f\xff", 23);
  for (const std::string& form : FORMS) {
    CHECK(decoded(form).first == BinanceCode::trade);
    for (std::size_t at = 0; at < form.size(); at++) {
      check_every_way(form.substr(0, at));
      check_every_way(form.substr(0, at) + form.substr(at + 1));
      check_every_way(form.substr(0, at) + form.substr(at, 1) + form.substr(at));
      for (const char other : others) {
        std::string spoiled = form;
        spoiled[at] = other;
        check_every_way(spoiled);
      }
    }
  }
}

void levels_are_written_behind_the_batch() {
  BatchMemory memory;
  DepthUpdate depth{};
  const std::string_view text =
      R"({"e":"depthUpdate","E":1723161256322,"s":"BTCUSDT","U":5,"u":9,)"
      R"("b":[["1.5","2"],["1","0.00"]],"a":[["2","0.1"]]})";
  CHECK(binance(text, memory, depth) == BinanceCode::depth);
  CHECK(depth.level_count == 3 && depth.first == 5 && depth.last == 9 && depth.previous == 4);
  CHECK(memory.tick(1).action == layout::ACTION_DELETE && memory.tick(1).p[2] == 9);
  CHECK(memory.tick(2).side == layout::SIDE_SELL && memory.tick(2).p[1] == 10'000'000);
  CHECK(binance(text, memory, depth, 2) == BinanceCode::left);  // no room for the third
}

void nesting_has_a_depth() {
  const auto nested = [](int depth) {
    return std::string(TRADE.substr(0, TRADE.size() - 1)) + ",\"x\":" +
           std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']') + "}";
  };
  CHECK(binance(nested(DEPTH_MAX)) == BinanceCode::trade);
  CHECK(binance(nested(DEPTH_MAX + 1)) == BinanceCode::left);
}

void lines_stop_at_what_is_left() {
  const std::string good =
      R"({"type":"trade","venue":"binance","symbol":"BTC-USDT","ts_event":)"
      R"("2024-08-08T23:54:15.208Z","price":1,"size":"0.5"})";
  const OwnBytes bytes = own(good + "\n" + good + "\n\n" + good);
  BatchMemory memory;
  Batch batch = memory.batch(BATCH_TICKS);
  Frame frame = bytes.frame();
  const Outcome first = decode_ndjson(frame, state(), batch);
  CHECK(first.is_left && batch.count == 2 && first.decoded[layout::KIND_TRADE] == 2);
  CHECK(first.next == 2 * (good.size() + 1) && first.left_end == first.next);
  CHECK(memory.tick(0).ts_event == 1'723'161'255'208'000'000);
  frame.start = first.left_end + 1;
  const Outcome second = decode_ndjson(frame, state(), batch);
  CHECK(!second.is_left && batch.count == 3);
  CHECK(memory.origins[4] == static_cast<int>(frame.start));
  CHECK(memory.origins[5] == static_cast<int>(frame.end));
}

/** How many of the lines the kernel takes; their records are in `memory`. */
std::size_t lines(const std::string& text, BatchMemory& memory) {
  const OwnBytes bytes = own(text);
  Batch batch = memory.batch(BATCH_TICKS);
  const Outcome outcome = decode_ndjson(bytes.frame(), state(), batch);
  CHECK(outcome.is_left == (outcome.next < text.size()));
  return batch.count;
}

/** Is the line taken? The same by the full way, and as the last and the first of several. */
bool line_is_taken(const std::string& line) {
  BatchMemory quick, full;
  const std::size_t taken = lines(line, quick);
  // White space before the brace is not plain.
  CHECK(lines(" " + line, full) == taken);
  const Tick expected = full.tick(0);
  CHECK(taken == 0 || std::memcmp(quick.ticks.data(), &expected, sizeof expected) == 0);
  CHECK(lines(line + "\n" + line + "\n" + line, quick) == 3 * taken);
  for (std::size_t i = 0; i < 3 * taken; i++) {
    CHECK(std::memcmp(quick.ticks.data() + i * sizeof(Tick), &expected, sizeof expected) == 0);
  }
  return taken == 1;
}

void the_quick_way_is_the_full_one() {
  const std::string head = R"({"type":"trade","venue":"v","symbol":"S",)";
  const std::string time = R"("ts_event":"2024-08-08T23:54:15.208000001Z")";
  const std::string trade = head + time + R"(,"price":"12.5","size":"0.00000001")";
  for (const std::string_view more :
       {"", R"(,"id":"7","side":"sell")", R"(,"id":7,"side":null)", R"(,"side":"none","id":null)",
        R"(,"flags":["last"])", R"(,"flags":["last","snapshot"])", R"(,"seq":[1,{"a":"b"}])",
        R"(, "id": "123456789012345678")", R"(,"id":-5,"ts_recv":"x","action":"set")",
        R"(,"bid_price":"3")", R"(,"price":13)", R"(,"price":"00000001.00000001")"}) {
    CHECK(line_is_taken(trade + std::string(more) + "}"));
  }
  for (const std::string_view more :
       {R"(,"id":"1234567890123456789")", R"(,"id":01)", R"(,"side":"by")", R"(,"side":nul)",
        R"(,"flags":["late)", R"(,"price":null)", R"(,"price":"1.")", R"(,"price":".1")",
        R"(,"price":"1x")", R"(,"price":"1.5)", R"(,"x":)", ",", R"(,"x":"\u0031")", R"(,"x")",
        ",\"x\":\n1", ",\"x\":[\n1]", ",\"x\"\n:1",  // two lines
        R"(,"ts_event":"2024-02-30T00:00:00.000000000Z")", R"(,"venue":"unknown")"}) {
    CHECK(!line_is_taken(trade + std::string(more) + "}"));
  }
  for (std::size_t size = 1; size <= trade.size(); size++) {
    CHECK(!line_is_taken(trade.substr(0, size)));
  }
  CHECK(!line_is_taken(head + R"("price":"1","size":"1"})"));
  const std::string quote = R"({"type":"quote","venue":"v","symbol":"S",)" + time;
  CHECK(line_is_taken(quote + R"(,"bid_price":"1.5","bid_size":"2","ask_price":1,"ask_size":3})"));
  CHECK(line_is_taken(quote + R"(,"bid_price":null,"ask_price":"1.25","side":"buy"})"));
  CHECK(!line_is_taken(quote + R"(,"bid_price":null,"ask_price":null,"ask_size":"1"})"));
  const std::string book = R"({"type":"book","venue":"v","symbol":"S",)" + time;
  CHECK(line_is_taken(book + R"(,"action":"set","side":"buy","price":"1","size":"1"})"));
  CHECK(line_is_taken(book + R"(,"action":"delete","side":"sell","price":"1.5"})"));
  CHECK(line_is_taken(book + R"(,"action":"clear"})"));
  CHECK(!line_is_taken(book + R"(,"action":"set","side":"sell","price":"1.5"})"));
  CHECK(!line_is_taken(book + R"(,"side":"sell","price":"1.5","size":"1"})"));
  CHECK(!line_is_taken(book + R"(,"action":"set","price":"1.5","size":"1"})"));
}

void a_second_is_that_of_its_text() {
  // 19 zero bytes are no time, whatever a reader remembers at first.
  const std::string zeros = std::string(19, '\0') + ".123456789Z\"";
  TimeReader times;
  std::int64_t out = 0;
  CHECK(times.read_same_second(TableFixture::bytes(zeros), out) == nullptr);
  const std::string last = "2262-04-11T23:47:16.854775807Z\"";
  const Byte* at = TableFixture::bytes(last);
  CHECK(times.read(at, at + 30, at + 30, out) && out == INT64_MAX);
  CHECK(times.read_same_second(at, out) == at + 30 && out == INT64_MAX);
  const std::string beyond = "2262-04-11T23:47:16.854775808Z\"";
  CHECK(times.read_same_second(TableFixture::bytes(beyond), out) == nullptr);
}

void times_are_of_the_calendar() {
  const auto read = [](std::string_view text, std::int64_t& out) {
    const OwnBytes bytes = own(text);
    const Frame frame = bytes.frame();
    TimeReader times;
    const Byte* end = frame.bytes + frame.end;
    return times.read(frame.bytes, end, end, out);
  };
  std::int64_t nanos = 0;
  CHECK(read("1970-01-01T00:00:00Z", nanos) && nanos == 0);
  CHECK(read("2000-02-29T00:00:00.000000001+00:00", nanos) && nanos == 951'782'400'000'000'001);
  CHECK(read("2262-04-11T23:47:16.854775807Z", nanos) && nanos == INT64_MAX);
  for (const std::string_view text :
       {"2262-04-11T23:47:16.854775808Z", "1900-02-29T00:00:00Z", "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-01-32T00:00:00Z",
        "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z", "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00.0000000001Z", "2024-01-01T00:00:00+01:00",
        "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00ZZ", "",
        "1969-12-31T23:59:59Z", "2O24-01-01T00:00:00Z"}) {
    CHECK(!read(text, nanos));
  }
}

void packed_ticks_have_a_form() {
  Tick good{};
  good.kind = layout::KIND_TRADE;
  good.instrument = 3;
  good.side = layout::SIDE_BUY;
  good.flags = layout::FLAG_LAST | layout::FLAG_LATE;
  const auto taken = [](const Tick& tick) {
    const OwnBytes bytes(reinterpret_cast<const Byte*>(&tick), sizeof tick);
    BatchMemory memory;
    Batch batch = memory.batch(1);
    const Outcome outcome = decode_packed(bytes.frame(), state().instruments, batch);
    if (!outcome.is_left) {
      CHECK(memory.tick(0).flags == (layout::FLAG_LAST | layout::FLAG_REPLAYED));
      CHECK(memory.tick(0).source == SOURCE && memory.tick(0).ts_recv == RECV);
    }
    return !outcome.is_left;
  };
  CHECK(taken(good));
  const auto spoiled = [&](auto spoil) {
    Tick tick = good;
    spoil(tick);
    return !taken(tick);
  };
  CHECK(spoiled([](Tick& tick) { tick.kind = 0; }));
  CHECK(spoiled([](Tick& tick) { tick.kind = layout::KIND_COUNT; }));
  CHECK(spoiled([](Tick& tick) { tick.instrument = 0; }));
  CHECK(spoiled([](Tick& tick) { tick.instrument = 4; }));
  CHECK(spoiled([](Tick& tick) { tick.side = 3; }));
  CHECK(spoiled([](Tick& tick) { tick.action = 1; }));
  CHECK(spoiled([](Tick& tick) { tick.market = 1; }));
  CHECK(spoiled([](Tick& tick) { tick.interval = 1; }));
  CHECK(spoiled([](Tick& tick) { tick.reserved = 1; }));
  CHECK(spoiled([](Tick& tick) { tick.flags = 1 << 15; }));
  CHECK(spoiled([](Tick& tick) { tick.ts_event = -1; }));
  CHECK(spoiled([](Tick& tick) { tick.ts_event = NULL_VALUE; }));
}

}  // namespace

int main() {
  a_trade_is_its_values();
  every_cut_of_a_trade_is_left();
  what_is_rare_is_left();
  what_is_legal_is_taken();
  a_trade_is_the_same_by_the_quick_way();
  levels_are_written_behind_the_batch();
  nesting_has_a_depth();
  lines_stop_at_what_is_left();
  the_quick_way_is_the_full_one();
  a_second_is_that_of_its_text();
  times_are_of_the_calendar();
  packed_ticks_have_a_form();
  std::puts("native decoders: all tests passed");
  return 0;
}
