// See event_loop.h. A poll handle is how a foreign library (uWebSockets.js) waits for its sockets;
// Node's own sockets are streams and close themselves.

#include "event_loop.h"

#ifndef _WIN32
#include <unistd.h>
#endif

namespace tickd {
namespace {

void close_poll(uv_handle_t* handle, void* count) noexcept {
  if (handle->type != UV_POLL || uv_is_closing(handle) != 0) return;
  uv_os_fd_t fd;
  const bool has_fd = uv_fileno(handle, &fd) == 0;
  // The owner's memory stays: it is freed by nobody, as its library knows nothing of the end.
  uv_close(handle, nullptr);
#ifndef _WIN32
  // The listening socket would go on taking connections that nobody serves.
  if (has_fd) close(fd);
#else
  (void)has_fd;
#endif
  ++*static_cast<std::size_t*>(count);
}

}  // namespace

std::size_t close_polls(uv_loop_t* loop) noexcept {
  std::size_t count = 0;
  uv_walk(loop, close_poll, &count);
  return count;
}

}  // namespace tickd
