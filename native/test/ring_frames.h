// Frames one behind the other as on a ring, in memory that ends with them.
#ifndef TICKD_RING_FRAMES_H
#define TICKD_RING_FRAMES_H

#include <string>
#include <string_view>
#include <vector>

#include "../tick.h"

namespace tickd::test {

class RingFrames {
 public:
  /** Of source 3 and format 1, received at so many nanoseconds in the second after 1970. */
  void add(std::string_view payload, std::uint32_t nanos, std::uint8_t flags = 0) {
    const std::size_t head = bytes_.size();
    bytes_.resize(head + layout::FRAME_HEADER_BYTES);
    put(head + layout::FRAME_LENGTH, static_cast<std::uint32_t>(payload.size()));
    bytes_[head + layout::FRAME_SOURCE] = 3;
    bytes_[head + layout::FRAME_FORMAT] = 1;
    bytes_[head + layout::FRAME_FLAGS] = flags;
    put(head + layout::FRAME_TS_RECV, 1);
    put(head + layout::FRAME_TS_RECV + 4, nanos);
    bytes_.insert(bytes_.end(), payload.begin(), payload.end());
    while (bytes_.size() % layout::FRAME_ALIGN_BYTES != 0) bytes_.push_back(0);
  }

  /** Bytes as they are, in a frame's place. */
  void add_raw(const Byte* bytes, std::size_t size) {
    bytes_.insert(bytes_.end(), bytes, bytes + size);
  }

  void put(std::size_t offset, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; i++) bytes_[offset + i] = static_cast<Byte>(value >> (8 * i));
  }

  std::size_t size() const { return bytes_.size(); }
  /** Valid until something is added. */
  const Byte* bytes() {
    bytes_.shrink_to_fit();
    return bytes_.data();
  }

 private:
  std::vector<Byte> bytes_;
};

}  // namespace tickd::test

#endif
