// What the fuzz targets share: memory of exactly the frame's size, a table, checks that abort.
#ifndef TICKD_FUZZ_FRAME_H
#define TICKD_FUZZ_FRAME_H

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../decoder_state.h"
#include "../test/table_fixture.h"
#include "../tick.h"
#include "json_oracle.h"

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                    \
    }                                                                  \
  } while (false)

namespace tickd::test {

constexpr std::int64_t RECV = 1'723'161'255'000'000'007;
constexpr std::uint16_t SOURCE = 3;
constexpr std::size_t BATCH_TICKS = 64;

/** A batch whose memory ends where its capacity does. */
struct BatchMemory {
  std::vector<Byte> ticks = std::vector<Byte>(BATCH_TICKS * sizeof(Tick), 0xa5);
  std::vector<std::int32_t> origins = std::vector<std::int32_t>(2 * BATCH_TICKS);

  Batch batch(std::size_t capacity) {
    return {ticks.data(), origins.data(), 0, capacity};
  }
  Tick tick(std::size_t index) const {
    Tick tick;
    std::memcpy(&tick, ticks.data() + index * sizeof tick, sizeof tick);
    return tick;
  }
};

inline const TableFixture& table() {
  static const TableFixture fixture = [] {
    TableFixture made;
    made.add("binance", "BTC-USDT", 1);
    made.add("binance", "BTCUSDT", 1);
    made.add("v", "S", 2);
    made.add("binance", "ETHUSDT", 3);
    return made;
  }();
  return fixture;
}

/** State that lives from input to input, as a decoder's does. */
inline DecoderState& state() {
  static DecoderState made(table().memory(), TableFixture::CAPACITY);
  return made;
}

/** The frame as a heap block of its own: a byte read beside it is found. */
class OwnBytes {
 public:
  OwnBytes(const Byte* bytes, std::size_t size) : bytes_(new Byte[size]), size_(size) {
    if (size > 0) std::memcpy(bytes_, bytes, size);
  }
  OwnBytes(const OwnBytes&) = delete;
  OwnBytes& operator=(const OwnBytes&) = delete;
  ~OwnBytes() { delete[] bytes_; }

  Frame frame() const { return {bytes_, 0, size_, RECV, SOURCE, layout::FLAG_REPLAYED}; }
  std::string text(std::size_t start, std::size_t end) const {
    return {reinterpret_cast<const char*>(bytes_) + start, end - start};
  }
  std::string text() const { return text(0, size_); }

 private:
  Byte* bytes_;
  std::size_t size_;
};

inline void check_head(const Tick& tick, std::uint8_t kind) {
  CHECK(tick.kind == kind && tick.ts_recv == RECV && tick.source == SOURCE);
  CHECK(tick.reserved == 0 && tick.instrument >= 1 && tick.instrument <= 3);
  CHECK((tick.flags & layout::FLAG_REPLAYED) != 0);
}

/** The member is a string with a decimal, and this is it. */
inline void check_decimal(const oracle::Json* value, int decimals, std::int64_t actual) {
  CHECK(value != nullptr && value->kind == oracle::Json::string);
  CHECK(oracle::decimal(value->text, decimals) == actual);
}

/** As check_decimal, of a string or number; where it may be absent or null, that is null. */
inline void check_value(const oracle::Json* value, int decimals, std::int64_t actual) {
  if (value == nullptr || value->kind == oracle::Json::null) {
    CHECK(actual == NULL_VALUE);
    return;
  }
  CHECK(value->kind == oracle::Json::string || value->kind == oracle::Json::number);
  CHECK(oracle::decimal(value->text, decimals) == actual);
}

}  // namespace tickd::test

#endif
