// The event loop of a thread that may be ended from outside at any time.
//
// uWebSockets.js is in the way twice: its open sockets end the process with the loop, and so does a
// handler of a request that cannot run, as it leaves without an answer. So its sockets are closed
// before the loop turns once more:
//
//   end_loop      another thread asks; ours is interrupted wherever its JavaScript is, closes the
//                 sockets and leaves that JavaScript. Not within a handler of a request, which is
//                 to come to its end first: then the sockets are closed before the next wait.
//                 Either way the thread then stands still until let_go, after which no JavaScript
//                 of it runs: what runs could touch the closed sockets
//   near_limit    its heap is nearly full: V8 is about to end it, in the midst of its JavaScript
//   before a wait a thread that ended without being asked, at its next turn
//   finish        what is left, when its environment ends
//
// libuv and V8 (Node-API has no such interrupt). No JavaScript is called from here.
#ifndef TICKD_EVENT_LOOP_H
#define TICKD_EVENT_LOOP_H

#include <uv.h>
#include <v8.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tickd {

class LoopGuard {
 public:
  /** True when the environment has been told to end: no JavaScript runs any more. */
  using IsEnding = bool (*)(void* data) noexcept;
  using Done = void (*)(LoopGuard* guard, void* data) noexcept;

  /**
   * Of the calling thread; nullptr when the loop takes no more handles, or the key is taken.
   * `in_turn` is written by the thread's JavaScript: 0 = it may be in a handler. It must outlive
   * that JavaScript; it is read on the same thread.
   */
  static LoopGuard* begin(std::uint32_t key, uv_loop_t* loop, const volatile std::int32_t* in_turn,
                          IsEnding is_ending, void* data) noexcept;

  /** Any thread: asks the guarded one to close its sockets and to leave its JavaScript. */
  static void end_loop(std::uint32_t key) noexcept;

  /** Any thread: the environment of the loop has been told to end; it may go on to that. */
  static void let_go(std::uint32_t key) noexcept;

  /** Any thread: true once that is done, and where no loop of this key is guarded. */
  static bool has_ended(std::uint32_t key) noexcept;

  /** On the guarded thread, for good; `done` is called when the loop is rid of the guard. */
  void finish(Done done) noexcept;

 private:
  void close_sockets() noexcept;
  void wait_to_go() noexcept;
  static void before_wait(uv_prepare_t* turn) noexcept;
  static std::size_t near_limit(void* guard, std::size_t now, std::size_t initial) noexcept;
  static void interrupted(v8::Isolate* isolate, void* guard) noexcept;

  std::uint32_t key_ = 0;
  v8::Isolate* isolate_ = nullptr;
  uv_prepare_t turn_{};
  std::uint64_t turned_ms_ = 0;
  const volatile std::int32_t* in_turn_ = nullptr;
  bool is_asked_ = false;
  IsEnding is_ending_ = nullptr;
  void* data_ = nullptr;
  Done done_ = nullptr;
  /** Sockets of closed handles, closed last: who still writes must not meet another file. */
  std::vector<int> left_;
  std::atomic<bool> has_ended_ = false;
  std::atomic<bool> may_go_ = false;
  bool is_watching_heap_ = false;
};

}  // namespace tickd

#endif
