// Node-API on one side, what the system can and Node does not on the other:
//
//   notify(path, text) -> 0, or the system's error number        notify.h
//   guardLoop(key, inTurn), endLoop(key), hasLoopEnded(key), letLoopGo(key)    event_loop.h
//   setSendBuffer(descriptor, bytes) -> 0, or the system's error number         send_buffer.h
//   setTimeSlice(us) -> 0, or the system's error number         time_slice.h

#include "system_glue.h"

#include <cstdint>
#include <new>

#include "event_loop.h"
#include "notify.h"
#include "send_buffer.h"
#include "time_slice.h"

namespace tickd {
namespace {

napi_value fail(napi_env env, const char* message) noexcept {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

napi_value send_notice(napi_env env, napi_callback_info info) noexcept {
  constexpr const char* USAGE = "notify takes a path and a text";
  std::size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  char path[128], text[1024];
  std::size_t path_size = 0, text_size = 0;
  if (count < 2 ||
      napi_get_value_string_utf8(env, arguments[0], path, sizeof(path), &path_size) != napi_ok ||
      napi_get_value_string_utf8(env, arguments[1], text, sizeof(text), &text_size) != napi_ok) {
    return fail(env, USAGE);
  }
  napi_value result;
  napi_create_int32(env, notify(path, path_size, text, text_size), &result);
  return result;
}

napi_value send_buffer(napi_env env, napi_callback_info info) noexcept {
  std::size_t count = 2;
  napi_value arguments[2], result;
  std::int32_t descriptor = 0;
  std::uint32_t bytes = 0;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  if (count < 2 || napi_get_value_int32(env, arguments[0], &descriptor) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &bytes) != napi_ok) {
    return fail(env, "setSendBuffer takes a descriptor and bytes");
  }
  napi_create_int32(env, set_send_buffer(descriptor, bytes), &result);
  return result;
}

napi_value time_slice(napi_env env, napi_callback_info info) noexcept {
  std::size_t count = 1;
  napi_value argument, result;
  std::uint32_t slice_us = 0;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (count < 1 || napi_get_value_uint32(env, argument, &slice_us) != napi_ok) {
    return fail(env, "setTimeSlice takes microseconds");
  }
  napi_create_int32(env, set_time_slice(slice_us), &result);
  return result;
}

/** What a loop's guard needs of Node-API. */
struct Guarded {
  napi_env env = nullptr;
  napi_async_cleanup_hook_handle cleanup = nullptr;
  LoopGuard* guard = nullptr;
};

/** No JavaScript runs any more in an environment that has been told to end. */
bool is_ending(void* data) noexcept {
  const napi_env env = static_cast<Guarded*>(data)->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  napi_value global;
  bool has = false;
  const bool ends = napi_get_global(env, &global) == napi_ok &&
                    napi_has_named_property(env, global, "undefined", &has) != napi_ok;
  napi_close_handle_scope(env, scope);
  return ends;
}

/** Asynchronous: the addon must stay loaded until the guard's handle is closed. */
void end_guard(napi_async_cleanup_hook_handle, void* data) noexcept {
  static_cast<Guarded*>(data)->guard->finish([](LoopGuard*, void* finished) noexcept {
    Guarded* guarded = static_cast<Guarded*>(finished);
    napi_remove_async_cleanup_hook(guarded->cleanup);
    delete guarded;
  });
}

/** The first element of an Int32Array; nullptr = it is none, or empty. */
const volatile std::int32_t* word_of(napi_env env, napi_value array) noexcept {
  napi_typedarray_type type;
  std::size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    return nullptr;
  }
  return type == napi_int32_array && length > 0 ? static_cast<std::int32_t*>(data) : nullptr;
}

bool key_of(napi_env env, napi_callback_info info, std::uint32_t& key) noexcept {
  std::size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (count == 1 && napi_get_value_uint32(env, argument, &key) == napi_ok) return true;
  fail(env, "a loop's key is a number");
  return false;
}

napi_value guard_loop(napi_env env, napi_callback_info info) noexcept {
  std::size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  std::uint32_t key;
  const volatile std::int32_t* in_turn = count < 2 ? nullptr : word_of(env, arguments[1]);
  if (in_turn == nullptr || napi_get_value_uint32(env, arguments[0], &key) != napi_ok) {
    return fail(env, "guardLoop takes a key and the Int32Array that says where its thread is");
  }
  uv_loop_t* loop = nullptr;
  Guarded* guarded = new (std::nothrow) Guarded();
  if (guarded != nullptr && napi_get_uv_event_loop(env, &loop) == napi_ok) {
    guarded->env = env;
    guarded->guard = LoopGuard::begin(key, loop, in_turn, is_ending, guarded);
  }
  if (guarded == nullptr || guarded->guard == nullptr) {
    delete guarded;
    return fail(env, "the event loop cannot be guarded, or one of this key is");
  }
  napi_add_async_cleanup_hook(env, end_guard, guarded, &guarded->cleanup);
  return nullptr;
}

napi_value end_loop(napi_env env, napi_callback_info info) noexcept {
  std::uint32_t key;
  if (key_of(env, info, key)) LoopGuard::end_loop(key);
  return nullptr;
}

napi_value let_loop_go(napi_env env, napi_callback_info info) noexcept {
  std::uint32_t key;
  if (key_of(env, info, key)) LoopGuard::let_go(key);
  return nullptr;
}

napi_value has_loop_ended(napi_env env, napi_callback_info info) noexcept {
  std::uint32_t key;
  if (!key_of(env, info, key)) return nullptr;
  napi_value result;
  napi_get_boolean(env, LoopGuard::has_ended(key), &result);
  return result;
}

}  // namespace

bool add_system_functions(napi_env env, napi_value exports) noexcept {
  constexpr struct {
    const char* name;
    napi_callback callback;
  } FUNCTIONS[] = {
      {"notify", send_notice},
      {"guardLoop", guard_loop},
      {"endLoop", end_loop},
      {"hasLoopEnded", has_loop_ended},
      {"letLoopGo", let_loop_go},
      {"setSendBuffer", send_buffer},
      {"setTimeSlice", time_slice},
  };
  for (const auto& [name, callback] : FUNCTIONS) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) !=
            napi_ok ||
        napi_set_named_property(env, exports, name, function) != napi_ok) {
      return false;
    }
  }
  return true;
}

}  // namespace tickd
