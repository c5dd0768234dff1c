// What a thread that is ended from outside leaves in its event loop: sockets of a library that
// closes them only when it is asked to. A loop with open handles ends the process, not the thread.
//
// No Node-API here: libuv and the system only.

#ifndef TICKD_EVENT_LOOP_H
#define TICKD_EVENT_LOOP_H

#include <uv.h>

#include <cstddef>

namespace tickd {

/** Closes every poll handle of the loop, and its file descriptor. Returns how many. */
std::size_t close_polls(uv_loop_t* loop) noexcept;

}  // namespace tickd

#endif
