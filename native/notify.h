// One datagram to a unix socket: what sd_notify(3) does, and Node cannot.

#ifndef TICKD_NOTIFY_H
#define TICKD_NOTIFY_H

#include <cstddef>

namespace tickd {

/**
 * Sends `text` to the socket at `path`; '@' first = an abstract name. Never blocks. Returns 0, or
 * the system's error number.
 */
int notify(const char* path, std::size_t path_size, const char* text,
           std::size_t text_size) noexcept;

}  // namespace tickd

#endif
