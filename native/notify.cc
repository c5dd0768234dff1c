// See notify.h.

#include "notify.h"

#include <cerrno>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#endif

namespace tickd {

#ifdef _WIN32
int notify(const char*, std::size_t, const char*, std::size_t) noexcept { return ENOSYS; }
#else
int notify(const char* path, std::size_t path_size, const char* text,
           std::size_t text_size) noexcept {
  sockaddr_un address{};
  if (path_size < 2 || path_size >= sizeof(address.sun_path)) return ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, path_size);
  // An abstract name begins with a zero byte, and has none at its end.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const std::size_t name_size = path_size + (path[0] == '@' ? 0 : 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_size);
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return errno;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  int code = 0;
  if (sendto(fd, text, text_size, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), size) < 0) {
    code = errno;
  }
  close(fd);
  return code;
}
#endif

}  // namespace tickd
