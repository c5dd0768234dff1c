// See time_slice.h.

#include "time_slice.h"

#include <cerrno>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tickd {

#if !defined(__linux__) || !defined(SYS_sched_setattr)
int set_time_slice(std::uint32_t) noexcept { return ENOSYS; }
#else
namespace {

/** What sched_setattr(2) takes, in its first version: no header of ours has it everywhere. */
struct SchedulingAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime_ns;
  std::uint64_t deadline_ns;
  std::uint64_t period_ns;
};

}  // namespace

int set_time_slice(std::uint32_t slice_us) noexcept {
  SchedulingAttributes attributes{};
  constexpr unsigned OURSELVES = 0, FLAGS = 0;
  if (syscall(SYS_sched_getattr, OURSELVES, &attributes, sizeof(attributes), FLAGS) != 0) {
    return errno;
  }
  // Whoever gave it another policy knows better.
  if (attributes.policy != 0) return 0;
  attributes.runtime_ns = std::uint64_t{slice_us} * 1000;
  return syscall(SYS_sched_setattr, OURSELVES, &attributes, FLAGS) == 0 ? 0 : errno;
}
#endif

}  // namespace tickd
