// The addon: Node-API on one side, kernels on the other, and nothing else.
//
//   decoder(kernel, control, instruments, capacity, venue) -> { bind(input, out, origins), run() }
//   encodeCopy(kind, ticks, order, from, to, shard, firstSeq, out, offset) -> offset behind
//   applyLatest(table, stamps, ticks, first, count, firstSeq, run)
//   crc32(bytes, start, end, before) -> the CRC-32; only where the CPU has the instructions
//   notify, guardLoop, endLoop, hasLoopEnded, letLoopGo, setTimeSlice: system_glue.cc
//   layoutId
//
// `run` takes no arguments: they lie in the control words (src/native/control.ts), and the memory
// it works on is that of the last `bind`, which is kept alive until the next. What is out of bounds
// is refused, never touched. No global state but the guards of event loops.

#include <node_api.h>
#include <new>

#include "binance_kernel.h"
#include "copy_kernel.h"
#include "crc32_kernel.h"
#include "latest_kernel.h"
#include "ndjson_kernel.h"
#include "packed_kernel.h"
#include "system_glue.h"

namespace tickd {
namespace {

namespace l = layout;

/** A typed array's memory, and the reference that keeps it. */
struct Memory {
  napi_ref reference = nullptr;
  Byte* bytes = nullptr;
  std::size_t size = 0;
};

napi_value fail(napi_env env, const char* message) noexcept {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

std::size_t width_of(napi_typedarray_type type) noexcept {
  switch (type) {
    case napi_uint8_array:
      return 1;
    case napi_int32_array:
      return 4;
    case napi_float64_array:
      return 8;
    default:
      return 0;
  }
}

/** The memory of a typed array of the type; bytes == nullptr where the value is none. */
Memory memory_of(napi_env env, napi_value value, napi_typedarray_type wanted) noexcept {
  bool is_typed_array = false;
  if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok || !is_typed_array) return {};
  napi_typedarray_type type;
  std::size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != wanted || data == nullptr) {
    return {};
  }
  return {nullptr, static_cast<Byte*>(data), length * width_of(type)};
}

/** As memory_of, and keeps it: what `memory` kept before is let go. */
bool keep(napi_env env, napi_value value, napi_typedarray_type wanted, Memory& memory) noexcept {
  Memory found = memory_of(env, value, wanted);
  if (found.bytes == nullptr) return false;
  if (napi_create_reference(env, value, 1, &found.reference) != napi_ok) return false;
  if (memory.reference != nullptr) napi_delete_reference(env, memory.reference);
  memory = found;
  return true;
}

/** A number that a control word or argument holds; false = none of 0 … max. */
bool to_size(double value, std::size_t max, std::size_t& out) noexcept {
  // A signed number is made of a double, and compared, in an instruction; an unsigned one is not.
  constexpr double WHOLE_END = 9007199254740992;
  if (!(value >= 0 && value < WHOLE_END)) return false;
  out = static_cast<std::size_t>(static_cast<std::int64_t>(value));
  return out <= max;
}

/** The last whole second whose nanoseconds since 1970 fit. */
constexpr std::size_t SECONDS_MAX = 9'223'372'035;

/** One JS decoder's native half. */
class Session {
 public:
  Session(int kernel, const Memory& table, std::size_t capacity) noexcept
      : state_(table.bytes, capacity), kernel_(kernel) {}

  Memory control, table, venue, input, out, origins;
  /** Functions that point here. */
  int users = 0;

  void run() noexcept {
    double* words = reinterpret_cast<double*>(control.bytes);
    Frame frame;
    Batch batch;
    if (!read(words, frame, batch)) return leave_all(words);
    switch (kernel_) {
      case l::KERNEL_BINANCE:
      case l::KERNEL_BINANCE_USDM:
        return run_binance(words, frame, batch);
      case l::KERNEL_NDJSON:
        return write(words, decode_ndjson(frame, state_, batch), batch);
      default:
        return write(words, decode_packed(frame, state_.instruments, batch), batch);
    }
  }

  void release(napi_env env) noexcept {
    for (Memory* memory : {&control, &table, &venue, &input, &out, &origins}) {
      if (memory->reference != nullptr) napi_delete_reference(env, memory->reference);
    }
  }

 private:
  /** The control words as what kernels take; false = they do not fit the bound memory. */
  bool read(const double* words, Frame& frame, Batch& batch) const noexcept {
    if (input.bytes == nullptr) return false;
    std::size_t ticks = out.size / l::TICK_BYTES;
    if (origins.size / 8 < ticks) ticks = origins.size / 8;
    frame.bytes = input.bytes;
    frame.readable_end = input.size;
    if (!to_size(words[l::IN_END], input.size, frame.end)) return false;
    if (!to_size(words[l::IN_START], frame.end, frame.start)) return false;
    if (!to_size(words[l::IN_COUNT], ticks, batch.count)) return false;
    if (!to_size(words[l::IN_CAPACITY], SIZE_MAX >> 12, batch.capacity)) return false;
    if (batch.capacity > ticks) batch.capacity = ticks;
    std::size_t seconds, nanos, source, flags;
    if (!to_size(words[l::IN_RECV_SEC], SECONDS_MAX, seconds) ||
        !to_size(words[l::IN_RECV_NSEC], NANOS_PER_SECOND - 1, nanos) ||
        !to_size(words[l::IN_SOURCE], UINT16_MAX, source) ||
        !to_size(words[l::IN_FLAGS], UINT16_MAX, flags)) {
      return false;
    }
    frame.ts_recv = static_cast<std::int64_t>(seconds) * NANOS_PER_SECOND +
                    static_cast<std::int64_t>(nanos);
    frame.source = static_cast<std::uint16_t>(source);
    frame.flags = static_cast<std::uint16_t>(flags);
    batch.ticks = out.bytes;
    batch.origins = reinterpret_cast<std::int32_t*>(origins.bytes);
    return true;
  }

  /** All of the frame is left to the JS twin. */
  static void leave_all(double* words) noexcept {
    words[l::OUT_CODE] = l::CODE_LEFT;
    words[l::OUT_AHEAD] = 0;
    words[l::OUT_COUNT] = words[l::IN_COUNT];
    words[l::OUT_NEXT] = words[l::IN_START];
    words[l::OUT_IS_LEFT] = 1;
    words[l::OUT_LEFT_END] = words[l::IN_END];
  }

  void run_binance(double* words, const Frame& frame, Batch& batch) noexcept {
    // The name ends with a zero byte: an empty array would have no memory.
    const BinanceVenue name{venue.bytes, venue.size - 1, kernel_ == l::KERNEL_BINANCE_USDM};
    DepthUpdate depth{};
    const BinanceCode code = decode_binance(frame, name, state_, batch, depth);
    words[l::OUT_CODE] = static_cast<double>(static_cast<int>(code));
    words[l::OUT_AHEAD] = 0;
    if (code == BinanceCode::left) return;
    if (code != BinanceCode::depth) return run_ahead(words, frame, name, batch);
    words[l::OUT_INSTRUMENT] = depth.instrument;
    words[l::OUT_LEVEL_COUNT] = static_cast<double>(depth.level_count);
    words[l::OUT_FIRST_ID] = static_cast<double>(depth.first);
    words[l::OUT_LAST_ID] = static_cast<double>(depth.last);
    words[l::OUT_PREVIOUS_ID] = static_cast<double>(depth.previous);
  }

  void run_ahead(double* words, const Frame& frame, const BinanceVenue& name,
                 Batch& batch) noexcept {
    std::size_t end;
    if (!to_size(words[l::IN_BEHIND_END], input.size, end) || end == 0) return;
    const std::size_t before = batch.count;
    decode_binance_ahead(frame, end, name, state_, batch);
    words[l::OUT_AHEAD] = static_cast<double>(batch.count - before);
  }

  static void write(double* words, const Outcome& outcome, const Batch& batch) noexcept {
    words[l::OUT_COUNT] = static_cast<double>(batch.count);
    words[l::OUT_NEXT] = static_cast<double>(outcome.next);
    words[l::OUT_IS_LEFT] = outcome.is_left ? 1 : 0;
    words[l::OUT_LEFT_END] = static_cast<double>(outcome.left_end);
    for (std::size_t kind = 0; kind < l::KIND_COUNT; kind++) {
      words[l::OUT_DECODED + kind] = outcome.decoded[kind];
    }
  }

  DecoderState state_;
  int kernel_;
};

napi_value run(napi_env env, napi_callback_info info) noexcept {
  void* session = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &session);
  static_cast<Session*>(session)->run();
  return nullptr;
}

napi_value bind(napi_env env, napi_callback_info info) noexcept {
  std::size_t count = 3;
  napi_value arguments[3];
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  Session* session = static_cast<Session*>(data);
  if (count < 3 || !keep(env, arguments[0], napi_uint8_array, session->input) ||
      !keep(env, arguments[1], napi_uint8_array, session->out) ||
      !keep(env, arguments[2], napi_int32_array, session->origins) ||
      reinterpret_cast<std::uintptr_t>(session->out.bytes) % alignof(Tick) != 0) {
    // Whatever was taken of it: run() then does nothing.
    session->input.bytes = nullptr;
    return fail(env, "bind takes input bytes, batch bytes on 8 bytes, and origins");
  }
  return nullptr;
}

void let_go(napi_env env, void* data, void*) noexcept {
  Session* session = static_cast<Session*>(data);
  if (--session->users > 0) return;
  session->release(env);
  delete session;
}

/** Adds a function on the session, which lives as long as any of them. */
bool add_function(napi_env env, napi_value object, const char* name, napi_callback callback,
                  Session* session) noexcept {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, session, &function) ==
             napi_ok &&
         napi_add_finalizer(env, function, session, let_go, nullptr, nullptr) == napi_ok &&
         ++session->users > 0 &&
         napi_set_named_property(env, object, name, function) == napi_ok;
}

napi_value decoder(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "decoder takes kernel, control, instruments, capacity, venue";
  std::size_t count = 5;
  napi_value arguments[5];
  std::int32_t kernel = -1;
  std::uint32_t capacity = 0;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  if (count < 5 || napi_get_value_int32(env, arguments[0], &kernel) != napi_ok || kernel < 0 ||
      kernel > l::KERNEL_PACKED || napi_get_value_uint32(env, arguments[3], &capacity) != napi_ok ||
      !std::has_single_bit(capacity)) {
    return fail(env, USAGE);
  }
  const Memory table = memory_of(env, arguments[2], napi_uint8_array);
  if (table.size != InstrumentTable::size_of(capacity)) return fail(env, USAGE);
  Session* session = new (std::nothrow) Session(kernel, table, capacity);
  if (session == nullptr) return fail(env, "no memory");
  napi_value object;
  if (!keep(env, arguments[1], napi_float64_array, session->control) ||
      !keep(env, arguments[2], napi_uint8_array, session->table) ||
      !keep(env, arguments[4], napi_uint8_array, session->venue) ||
      session->control.size < l::CONTROL_WORDS * sizeof(double) || session->venue.size == 0 ||
      napi_create_object(env, &object) != napi_ok) {
    session->release(env);
    delete session;
    return fail(env, USAGE);
  }
  // From here on the functions own the session.
  if (!add_function(env, object, "run", run, session) ||
      !add_function(env, object, "bind", bind, session)) {
    return fail(env, "no function could be made");
  }
  return object;
}

napi_value encode_copy_rows(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "encodeCopy: an argument is of the wrong type or out of bounds";
  std::size_t count = 9;
  napi_value arguments[9];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  if (count < 9) return fail(env, USAGE);
  double numbers[6];
  constexpr int PLACES[6] = {0, 3, 4, 5, 6, 8};
  for (int i = 0; i < 6; i++) {
    if (napi_get_value_double(env, arguments[PLACES[i]], &numbers[i]) != napi_ok) {
      return fail(env, USAGE);
    }
  }
  const Memory ticks = memory_of(env, arguments[1], napi_uint8_array);
  const Memory order = memory_of(env, arguments[2], napi_int32_array);
  std::size_t out_size = 0;
  void* out = nullptr;
  if (napi_get_dataview_info(env, arguments[7], &out_size, &out, nullptr, nullptr) != napi_ok) {
    return fail(env, USAGE);
  }
  CopyRows rows{};
  std::size_t kind, shard, first_seq, offset;
  constexpr std::size_t SEQ_MAX = (1ull << l::COPY_SHARD_SHIFT) - 1;
  if (!to_size(numbers[0], l::KIND_COUNT - 1, kind) ||
      !to_size(numbers[2], order.size / 4, rows.to) || !to_size(numbers[1], rows.to, rows.from) ||
      !to_size(numbers[3], 0x7fff, shard) || !to_size(numbers[4], SEQ_MAX, first_seq) ||
      !to_size(numbers[5], out_size, offset)) {
    return fail(env, USAGE);
  }
  rows.kind = static_cast<std::uint8_t>(kind);
  rows.ticks = ticks.bytes;
  rows.tick_count = ticks.size / l::TICK_BYTES;
  rows.order = reinterpret_cast<const std::int32_t*>(order.bytes);
  rows.shard = shard;
  rows.first_seq = first_seq;
  if (copy_bytes_max(rows) > out_size - offset) return fail(env, USAGE);
  const Byte* end = encode_copy(rows, static_cast<Byte*>(out) + offset);
  if (end == nullptr) return fail(env, USAGE);
  napi_value result;
  napi_create_double(env, static_cast<double>(end - static_cast<Byte*>(out)), &result);
  return result;
}

napi_value apply_latest_of(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "applyLatest: an argument is of the wrong type or out of bounds";
  std::size_t count = 7;
  napi_value arguments[7];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  double first = -1, ticks = -1, seq = -1;
  std::int32_t run = 0;
  if (count < 7 || napi_get_value_double(env, arguments[3], &first) != napi_ok ||
      napi_get_value_double(env, arguments[4], &ticks) != napi_ok ||
      napi_get_value_double(env, arguments[5], &seq) != napi_ok ||
      napi_get_value_int32(env, arguments[6], &run) != napi_ok) {
    return fail(env, USAGE);
  }
  const Memory table = memory_of(env, arguments[0], napi_int32_array);
  const Memory stamps = memory_of(env, arguments[1], napi_int32_array);
  const Memory source = memory_of(env, arguments[2], napi_uint8_array);
  std::size_t from, records, first_seq;
  if (!to_size(first, source.size / l::TICK_BYTES, from) ||
      !to_size(ticks, source.size / l::TICK_BYTES - from, records) ||
      !to_size(seq, 1ull << 53, first_seq) ||
      table.size != stamps.size * l::LATEST_SLOT_WORDS) {
    return fail(env, USAGE);
  }
  apply_latest({reinterpret_cast<std::int32_t*>(table.bytes), stamps.size / 4,
                reinterpret_cast<std::int32_t*>(stamps.bytes)},
               source.bytes + from * l::TICK_BYTES, records, first_seq, run);
  return nullptr;
}

napi_value crc32_of(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "crc32: an argument is of the wrong type or out of bounds";
  std::size_t count = 4;
  napi_value arguments[4];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  double from = -1, to = -1;
  std::uint32_t before = 0;
  if (count < 4 || napi_get_value_double(env, arguments[1], &from) != napi_ok ||
      napi_get_value_double(env, arguments[2], &to) != napi_ok ||
      napi_get_value_uint32(env, arguments[3], &before) != napi_ok) {
    return fail(env, USAGE);
  }
  const Memory memory = memory_of(env, arguments[0], napi_uint8_array);
  std::size_t start, end;
  if (!to_size(to, memory.size, end) || !to_size(from, end, start)) return fail(env, USAGE);
  napi_value result;
  napi_create_uint32(env, crc32(memory.bytes + start, end - start, before), &result);
  return result;
}

}  // namespace
}  // namespace tickd

NAPI_MODULE_INIT() {
  napi_value id, decoder, encode, latest, crc32;
  if (napi_create_uint32(env, tickd::layout::LAYOUT_ID, &id) != napi_ok ||
      napi_create_function(env, "decoder", NAPI_AUTO_LENGTH, tickd::decoder, nullptr, &decoder) !=
          napi_ok ||
      napi_create_function(env, "encodeCopy", NAPI_AUTO_LENGTH, tickd::encode_copy_rows, nullptr,
                           &encode) != napi_ok ||
      napi_create_function(env, "applyLatest", NAPI_AUTO_LENGTH, tickd::apply_latest_of, nullptr,
                           &latest) != napi_ok ||
      napi_set_named_property(env, exports, "applyLatest", latest) != napi_ok ||
      napi_set_named_property(env, exports, "layoutId", id) != napi_ok ||
      napi_set_named_property(env, exports, "decoder", decoder) != napi_ok ||
      napi_set_named_property(env, exports, "encodeCopy", encode) != napi_ok ||
      !tickd::add_system_functions(env, exports)) {
    return nullptr;
  }
  // Absent where the CPU cannot: the caller has zlib's.
  if (tickd::has_crc32() &&
      (napi_create_function(env, "crc32", NAPI_AUTO_LENGTH, tickd::crc32_of, nullptr, &crc32) !=
           napi_ok ||
       napi_set_named_property(env, exports, "crc32", crc32) != napi_ok)) {
    return nullptr;
  }
  return exports;
}
