// How much a socket takes before it says that it is full.
#ifndef TICKD_SEND_BUFFER_H
#define TICKD_SEND_BUFFER_H

#include <cstdint>

namespace tickd {

/** 0, or the error number. The system's own limit (net.core.wmem_max) holds, and is no error. */
int set_send_buffer(int descriptor, std::uint32_t bytes) noexcept;

}  // namespace tickd

#endif
