// How long the scheduler lets a thread run before others that are ready: shorter = sooner again.

#ifndef TICKD_TIME_SLICE_H
#define TICKD_TIME_SLICE_H

#include <cstdint>

namespace tickd {

/**
 * Asks for slices of `slice_us` for the calling thread, 100 to 100,000 µs, at its nice value and
 * with its share of the processor as before. A thread of short slices that wakes is run before one
 * of long slices goes on (Linux 6.12 and later: sched_setattr(2), sched_runtime of SCHED_OTHER).
 * Returns 0, or the system's error number; ENOSYS where there is no such thing.
 */
int set_time_slice(std::uint32_t slice_us) noexcept;

}  // namespace tickd

#endif
