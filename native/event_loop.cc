// See event_loop.h. A poll handle is how a foreign library waits for its sockets; Node's own are
// streams and close themselves.

#include "event_loop.h"

#ifndef _WIN32
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <map>
#include <mutex>
#include <new>

namespace tickd {
namespace {

/** A turn of the loop that took this long may have been ended; the others cost a comparison. */
constexpr std::uint64_t LONG_TURN_MS = 20;

/** What a heap may grow beyond its limit until Node, which is asked next, has ended the thread. */
constexpr std::size_t HEAP_SLACK_BYTES = 16u << 20;

/** Whoever asked for the end lets the thread go at once; if it never does, all is lost anyway. */
constexpr unsigned GO_MS_MAX = 10'000;

/** Guards by key, of all threads: the one state that they share. */
std::mutex guards_lock;
std::map<std::uint32_t, LoopGuard*> guards;

void close_poll(uv_handle_t* handle, void* left) noexcept {
  if (handle->type != UV_POLL || uv_is_closing(handle) != 0) return;
  uv_os_fd_t fd;
  const bool has_fd = uv_fileno(handle, &fd) == 0;
  // The owner's memory stays: it is freed by nobody, as its library knows nothing of the end.
  uv_close(handle, nullptr);
#ifndef _WIN32
  if (!has_fd) return;
  // A listening socket would go on taking connections that nobody serves.
  shutdown(fd, SHUT_RDWR);
  static_cast<std::vector<int>*>(left)->push_back(fd);
#else
  (void)has_fd;
  (void)left;
#endif
}

}  // namespace

LoopGuard* LoopGuard::begin(std::uint32_t key, uv_loop_t* loop,
                            const volatile std::int32_t* in_turn, IsEnding is_ending,
                            void* data) noexcept {
  const std::lock_guard lock(guards_lock);
  if (guards.contains(key)) return nullptr;
  LoopGuard* guard = new (std::nothrow) LoopGuard();
  if (guard == nullptr || uv_prepare_init(loop, &guard->turn_) != 0) {
    delete guard;
    return nullptr;
  }
  guard->key_ = key;
  guard->isolate_ = v8::Isolate::GetCurrent();
  guard->in_turn_ = in_turn;
  guard->is_ending_ = is_ending;
  guard->data_ = data;
  guard->turned_ms_ = uv_now(loop);
  guard->turn_.data = guard;
  uv_prepare_start(&guard->turn_, before_wait);
  uv_unref(reinterpret_cast<uv_handle_t*>(&guard->turn_));
  // Before Node's own, which ends the thread: V8 asks the one that came last.
  guard->isolate_->AddNearHeapLimitCallback(near_limit, guard);
  guard->is_watching_heap_ = true;
  guards[key] = guard;
  return guard;
}

void LoopGuard::end_loop(std::uint32_t key) noexcept {
  // Held while the interrupt is asked for: the isolate outlives its guard's place in the table.
  const std::lock_guard lock(guards_lock);
  const auto found = guards.find(key);
  if (found == guards.end()) return;
  found->second->isolate_->RequestInterrupt(interrupted, found->second);
}

void LoopGuard::let_go(std::uint32_t key) noexcept {
  const std::lock_guard lock(guards_lock);
  const auto found = guards.find(key);
  if (found != guards.end()) found->second->may_go_ = true;
}

bool LoopGuard::has_ended(std::uint32_t key) noexcept {
  const std::lock_guard lock(guards_lock);
  const auto found = guards.find(key);
  return found == guards.end() || found->second->has_ended_;
}

void LoopGuard::finish(Done done) noexcept {
  {
    const std::lock_guard lock(guards_lock);
    guards.erase(key_);
  }
  close_sockets();
  if (is_watching_heap_) isolate_->RemoveNearHeapLimitCallback(near_limit, 0);
#ifndef _WIN32
  for (const int fd : left_) close(fd);
#endif
  done_ = done;
  uv_close(reinterpret_cast<uv_handle_t*>(&turn_), [](uv_handle_t* handle) {
    LoopGuard* guard = static_cast<LoopGuard*>(handle->data);
    guard->done_(guard, guard->data_);
    delete guard;
  });
}

void LoopGuard::close_sockets() noexcept {
  uv_walk(turn_.loop, close_poll, &left_);
  has_ended_ = true;
}

void LoopGuard::wait_to_go() noexcept {
  for (unsigned waited_ms = 0; !may_go_ && waited_ms < GO_MS_MAX; waited_ms++) uv_sleep(1);
}

void LoopGuard::before_wait(uv_prepare_t* turn) noexcept {
  LoopGuard* guard = static_cast<LoopGuard*>(turn->data);
  const std::uint64_t now_ms = uv_now(turn->loop);
  const bool was_long = now_ms - guard->turned_ms_ > LONG_TURN_MS;
  guard->turned_ms_ = now_ms;
  if (guard->is_asked_) {
    guard->close_sockets();
    guard->wait_to_go();
  } else if (was_long && guard->is_ending_(guard->data_)) {
    guard->close_sockets();
  }
}

/** No JavaScript, and no memory of V8's: it is in the midst of a collection. */
std::size_t LoopGuard::near_limit(void* data, std::size_t now, std::size_t) noexcept {
  LoopGuard* guard = static_cast<LoopGuard*>(data);
  guard->close_sockets();
  guard->is_watching_heap_ = false;
  guard->isolate_->RemoveNearHeapLimitCallback(near_limit, 0);
  return now + HEAP_SLACK_BYTES;
}

void LoopGuard::interrupted(v8::Isolate* isolate, void* guard) noexcept {
  LoopGuard* self = static_cast<LoopGuard*>(guard);
  self->is_asked_ = true;
  // A handler that is left without an answer ends the process.
  if (*self->in_turn_ == 0) return;
  self->close_sockets();
  self->wait_to_go();
  isolate->TerminateExecution();
}

}  // namespace tickd
