// The frames that lie behind one on its ring: see src/ring/frame-ring-layout.ts.
#ifndef TICKD_FRAMES_BEHIND_H
#define TICKD_FRAMES_BEHIND_H

#include "tick.h"

namespace tickd {

class FramesBehind {
 public:
  /** `end`: up to where there are frames, within the memory; nothing is read from there on. */
  FramesBehind(const Frame& first, std::size_t end) noexcept : end_(end) {
    is_ring_ = first.start >= layout::FRAME_HEADER_BYTES && first.end <= end;
    if (is_ring_) like_ = sort_of(first.bytes + first.start - layout::FRAME_HEADER_BYTES);
  }

  /** Makes `frame` the one behind it. False, and unchanged, where that is of another sort. */
  [[gnu::always_inline]] bool next(Frame& frame) const noexcept {
    const std::size_t head = (frame.end + ALIGN) & ~ALIGN;
    if (!is_ring_ || head > end_ || end_ - head < layout::FRAME_HEADER_BYTES) return false;
    const Byte* at = frame.bytes + head;
    const auto length = static_cast<std::int32_t>(load_u32(at + layout::FRAME_LENGTH));
    // Below zero: the ring turns here.
    if (length < 0 || sort_of(at) != like_) return false;
    const std::size_t start = head + layout::FRAME_HEADER_BYTES;
    const std::uint32_t nanos = load_u32(at + layout::FRAME_TS_RECV + 4);
    if (static_cast<std::size_t>(length) > end_ - start || nanos >= NANOS) return false;
    frame.start = start;
    frame.end = start + static_cast<std::size_t>(length);
    frame.ts_recv = load_u32(at + layout::FRAME_TS_RECV) * NANOS + nanos;
    return true;
  }

 private:
  static constexpr std::size_t ALIGN = layout::FRAME_ALIGN_BYTES - 1;
  static constexpr std::int64_t NANOS = 1'000'000'000;
  static_assert(layout::FRAME_FORMAT == layout::FRAME_SOURCE + 2);
  static_assert(layout::FRAME_FLAGS == layout::FRAME_SOURCE + 3);

  /** Source, format and flags. */
  static std::uint32_t sort_of(const Byte* head) noexcept {
    return load_u32(head + layout::FRAME_SOURCE);
  }

  std::size_t end_;
  bool is_ring_ = false;
  std::uint32_t like_ = 0;
};

}  // namespace tickd

#endif
