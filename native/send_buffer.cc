// See send_buffer.h.

#include "send_buffer.h"

#include <sys/socket.h>

#include <cerrno>

namespace tickd {

int set_send_buffer(int descriptor, std::uint32_t bytes) noexcept {
  const int size = static_cast<int>(bytes);
  return setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0 ? 0 : errno;
}

}  // namespace tickd
