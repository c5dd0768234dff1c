// Node-API on one side, load_tools.h on the other: build/Release/tickd_load.node, for the benches.
//
//   comeFirst() -> 0, or the system's error number
//   sleepUntil(dueNs, spinNs)
//   sendSome(descriptor, bytes, start, end) -> bytes sent; below 0: the system's error number
//   readSockets(descriptors: Int32Array, ring: Uint8Array, words: Int32Array)   until it is stopped

#include <node_api.h>

#include <cstdint>

#include "load_tools.h"

namespace tickd::load {
namespace {

template <std::size_t Count>
bool arguments_of(napi_env env, napi_callback_info info, napi_value (&values)[Count]) noexcept {
  std::size_t count = Count;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == Count;
}

napi_value fail(napi_env env, const char* message) noexcept {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

napi_value number(napi_env env, int value) noexcept {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

/** The bytes of a typed array, and how many; null = it is none. */
std::uint8_t* bytes_of(napi_env env, napi_value value, std::size_t& size) noexcept {
  napi_typedarray_type type;
  void* data = nullptr;
  std::size_t length = 0;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    return nullptr;
  }
  size = type == napi_int32_array ? length * sizeof(std::int32_t) : length;
  return static_cast<std::uint8_t*>(data);
}

napi_value call_come_first(napi_env env, napi_callback_info) noexcept {
  return number(env, come_first());
}

napi_value call_sleep_until(napi_env env, napi_callback_info info) noexcept {
  napi_value values[2];
  std::int64_t due_ns = 0, spin_ns = 0;
  if (!arguments_of(env, info, values) ||
      napi_get_value_int64(env, values[0], &due_ns) != napi_ok ||
      napi_get_value_int64(env, values[1], &spin_ns) != napi_ok) {
    return fail(env, "sleepUntil takes two times in nanoseconds");
  }
  sleep_until(due_ns, spin_ns);
  return nullptr;
}

napi_value call_send_some(napi_env env, napi_callback_info info) noexcept {
  napi_value values[4];
  std::int32_t descriptor = 0;
  std::uint32_t start = 0, end = 0;
  std::size_t size = 0;
  const std::uint8_t* bytes = nullptr;
  if (arguments_of(env, info, values)) bytes = bytes_of(env, values[1], size);
  if (bytes == nullptr || napi_get_value_int32(env, values[0], &descriptor) != napi_ok ||
      napi_get_value_uint32(env, values[2], &start) != napi_ok ||
      napi_get_value_uint32(env, values[3], &end) != napi_ok || start > end || end > size) {
    return fail(env, "sendSome takes a descriptor, bytes and a range of them");
  }
  return number(env, static_cast<int>(send_some(descriptor, bytes + start, end - start)));
}

napi_value call_read_sockets(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "readSockets takes descriptors, a ring of 2^n bytes, its words";
  napi_value values[3];
  if (!arguments_of(env, info, values)) return fail(env, USAGE);
  std::size_t descriptor_bytes = 0, ring_bytes = 0, word_bytes = 0;
  const std::uint8_t* descriptors = bytes_of(env, values[0], descriptor_bytes);
  std::uint8_t* ring = bytes_of(env, values[1], ring_bytes);
  std::uint8_t* words = bytes_of(env, values[2], word_bytes);
  constexpr std::size_t RING_BYTES_MIN = 4 * std::size_t{ReadRing::READ_BYTES_MAX};
  if (descriptors == nullptr || ring == nullptr || words == nullptr ||
      ring_bytes < RING_BYTES_MIN || (ring_bytes & (ring_bytes - 1)) != 0 ||
      word_bytes < ReadRing::WORD_COUNT * sizeof(std::uint32_t)) {
    return fail(env, USAGE);
  }
  read_sockets(reinterpret_cast<const std::int32_t*>(descriptors),
               static_cast<std::uint32_t>(descriptor_bytes / sizeof(std::int32_t)),
               {ring, static_cast<std::uint32_t>(ring_bytes / ReadRing::UNIT_BYTES),
                reinterpret_cast<std::atomic<std::uint32_t>*>(words)});
  return nullptr;
}

napi_value init(napi_env env, napi_value exports) noexcept {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"comeFirst", call_come_first},
                   {"sleepUntil", call_sleep_until},
                   {"sendSome", call_send_some},
                   {"readSockets", call_read_sockets}};
  for (const auto& [name, call] : functions) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

}  // namespace
}  // namespace tickd::load

NAPI_MODULE_INIT() { return tickd::load::init(env, exports); }
