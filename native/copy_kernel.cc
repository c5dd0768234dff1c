// The kernel of COPY rows: see copy_kernel.h.

#include "copy_kernel.h"

namespace tickd {
namespace {

/** 2000-01-01 in microseconds since 1970. */
constexpr std::int64_t EPOCH_MICROS = 946'684'800'000'000;

Byte* put_u16(Byte* out, std::uint16_t value) noexcept {
  value = __builtin_bswap16(value);
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

Byte* put_u32(Byte* out, std::uint32_t value) noexcept {
  value = __builtin_bswap32(value);
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

Byte* put_u64(Byte* out, std::uint64_t value) noexcept {
  value = __builtin_bswap64(value);
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

Byte* int2(Byte* out, std::uint16_t value) noexcept { return put_u16(put_u32(out, 2), value); }

Byte* int4(Byte* out, std::uint32_t value) noexcept { return put_u32(put_u32(out, 4), value); }

Byte* int8(Byte* out, std::uint64_t value) noexcept { return put_u64(put_u32(out, 8), value); }

Byte* nothing(Byte* out) noexcept { return put_u32(out, 0xffff'ffff); }

Byte* nullable(Byte* out, std::int64_t value) noexcept {
  return value == NULL_VALUE ? nothing(out) : int8(out, static_cast<std::uint64_t>(value));
}

template <std::uint8_t Kind>
Byte* put_row(const Tick& tick, std::uint64_t seq, Byte* out) noexcept {
  out = put_u16(out, static_cast<std::uint16_t>(layout::COPY_COLUMNS[Kind]));
  std::int64_t micros = tick.ts_event / 1000;
  std::int64_t nanos = tick.ts_event % 1000;
  if (nanos < 0) {
    nanos += 1000;
    micros--;
  }
  const bool has_time = tick.ts_event != NULL_VALUE;
  out = has_time ? int8(out, static_cast<std::uint64_t>(micros - EPOCH_MICROS)) : nothing(out);
  out = int8(out, seq);
  out = nullable(out, tick.ts_recv);
  for (const std::int64_t value : tick.p) out = nullable(out, value);
  out = int4(out, tick.instrument);
  out = int4(out, tick.flags);
  if constexpr (Kind == layout::KIND_PRICE) out = int4(out, tick.interval);
  out = has_time ? int2(out, static_cast<std::uint16_t>(nanos)) : nothing(out);
  out = int2(out, tick.source);
  if constexpr (Kind == layout::KIND_TRADE || Kind == layout::KIND_BOOK) out = int2(out, tick.side);
  if constexpr (Kind == layout::KIND_BOOK || Kind == layout::KIND_STATUS) {
    out = int2(out, tick.action);
  }
  if constexpr (Kind == layout::KIND_PRICE) out = int2(out, tick.market);
  return out;
}

template <std::uint8_t Kind>
Byte* put_rows(const CopyRows& rows, Byte* out) noexcept {
  for (std::size_t row = rows.from; row < rows.to; row++) {
    const std::size_t index = static_cast<std::uint32_t>(rows.order[row]);
    if (index >= rows.tick_count) return nullptr;
    Tick tick;
    std::memcpy(&tick, rows.ticks + index * sizeof tick, sizeof tick);
    const std::uint64_t seq = (rows.shard << layout::COPY_SHARD_SHIFT) + rows.first_seq + index;
    out = put_row<Kind>(tick, seq, out);
  }
  return out;
}

}  // namespace

std::size_t copy_bytes_max(const CopyRows& rows) noexcept {
  if (rows.kind >= layout::KIND_COUNT || rows.from > rows.to) return 0;
  return (rows.to - rows.from) * layout::COPY_ROW_BYTES_MAX[rows.kind];
}

Byte* encode_copy(const CopyRows& rows, Byte* out) noexcept {
  switch (rows.kind) {
    case layout::KIND_TRADE:
      return put_rows<layout::KIND_TRADE>(rows, out);
    case layout::KIND_QUOTE:
      return put_rows<layout::KIND_QUOTE>(rows, out);
    case layout::KIND_BOOK:
      return put_rows<layout::KIND_BOOK>(rows, out);
    case layout::KIND_PRICE:
      return put_rows<layout::KIND_PRICE>(rows, out);
    case layout::KIND_STATUS:
      return put_rows<layout::KIND_STATUS>(rows, out);
    default:
      return nullptr;
  }
}

}  // namespace tickd
