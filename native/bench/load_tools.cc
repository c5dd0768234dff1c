// See load_tools.h.

#include "load_tools.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tickd::load {
namespace {

constexpr std::int64_t NS_PER_S = 1'000'000'000;
constexpr int STOP_CHECK_MS = 20;
constexpr int EVENTS_MAX = 64;
/** From the first byte that comes to the look at all sockets: one wake-up for many of them. */
constexpr std::int64_t GATHER_NS = 60'000;
/** Between two looks at a ring that is full. */
constexpr std::int64_t FULL_RING_NS = 50'000;

std::int64_t ns_of(const timespec& time) noexcept {
  return std::int64_t{time.tv_sec} * NS_PER_S + time.tv_nsec;
}

std::int64_t clock_ns(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return ns_of(now);
}

/** Where the next entry goes, with room for the longest read; null = stopped while it was full. */
std::uint8_t* place(const ReadRing& ring, std::uint32_t& written) noexcept {
  constexpr std::uint32_t LONGEST =
      ReadRing::HEADER_UNITS + ReadRing::READ_BYTES_MAX / ReadRing::UNIT_BYTES;
  const std::uint32_t to_end = ring.units - (written & (ring.units - 1));
  const std::uint32_t needed = to_end < LONGEST ? to_end + LONGEST : LONGEST;
  // acquire: the reader is done with the bytes that are overwritten now.
  while (ring.units - (written - ring.words[ReadRing::READ].load(std::memory_order_acquire)) <
         needed) {
    if (ring.words[ReadRing::IS_STOPPED].load(std::memory_order_relaxed) != 0) return nullptr;
    sleep_until(now_ns() + FULL_RING_NS, 0);
  }
  std::uint8_t* at = ring.bytes + std::size_t{written & (ring.units - 1)} * ReadRing::UNIT_BYTES;
  if (to_end >= LONGEST) return at;
  std::memcpy(at + 4, &ReadRing::SKIP, 4);
  written += to_end;
  return ring.bytes;
}

/** When the last of what was read came to the socket: the system's stamp, on CLOCK_MONOTONIC. */
std::int64_t arrival_ns(const msghdr& message) noexcept {
  for (const cmsghdr* note = CMSG_FIRSTHDR(&message); note != nullptr;
       note = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(note))) {
    if (note->cmsg_level != SOL_SOCKET || note->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec stamp{};
    std::memcpy(&stamp, CMSG_DATA(note), sizeof(stamp));
    return now_ns() - (clock_ns(CLOCK_REALTIME) - ns_of(stamp));
  }
  return now_ns();
}

/** Reads what one socket has, once. False = it ended, failed, or all was stopped. */
bool read_one(int descriptor, std::uint32_t index, const ReadRing& ring,
              std::uint32_t& written) noexcept {
  std::uint8_t* at = place(ring, written);
  if (at == nullptr) return false;
  constexpr std::uint32_t HEADER_BYTES = ReadRing::HEADER_UNITS * ReadRing::UNIT_BYTES;
  iovec room{at + HEADER_BYTES, ReadRing::READ_BYTES_MAX};
  alignas(cmsghdr) std::uint8_t notes[CMSG_SPACE(sizeof(timespec))];
  msghdr message{};
  message.msg_iov = &room;
  message.msg_iovlen = 1;
  message.msg_control = notes;
  message.msg_controllen = sizeof(notes);
  const ssize_t size = recvmsg(descriptor, &message, MSG_DONTWAIT);
  if (size <= 0) {
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    const std::uint32_t error = size == 0 ? END + index : static_cast<std::uint32_t>(errno);
    ring.words[ReadRing::ERROR].store(error, std::memory_order_release);
    return false;
  }
  const double arrived_ns = static_cast<double>(arrival_ns(message));
  const std::uint32_t length = static_cast<std::uint32_t>(size);
  std::memcpy(at, &index, 4);
  std::memcpy(at + 4, &length, 4);
  std::memcpy(at + 8, &arrived_ns, 8);
  written += ReadRing::HEADER_UNITS + (length + ReadRing::UNIT_BYTES - 1) / ReadRing::UNIT_BYTES;
  // release: the entry is whole before it can be seen.
  ring.words[ReadRing::WRITTEN].store(written, std::memory_order_release);
  return true;
}

}  // namespace

std::int64_t now_ns() noexcept {
  return clock_ns(CLOCK_MONOTONIC);
}

int come_first() noexcept {
  sched_param parameters{};
  parameters.sched_priority = 1;
  constexpr pid_t OURSELVES = 0;
  return sched_setscheduler(OURSELVES, SCHED_FIFO, &parameters) == 0 ? 0 : errno;
}

void sleep_until(std::int64_t due_ns, std::int64_t spin_ns) noexcept {
  const std::int64_t wake_ns = due_ns - spin_ns;
  if (wake_ns > now_ns()) {
    const timespec wake{static_cast<time_t>(wake_ns / NS_PER_S),
                        static_cast<long>(wake_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, nullptr) == EINTR) {
    }
  }
  while (now_ns() < due_ns) {
  }
}

std::int64_t send_some(int descriptor, const std::uint8_t* bytes, std::size_t size) noexcept {
  std::size_t sent = 0;
  while (sent < size) {
    const ssize_t count = send(descriptor, bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      pollfd full{descriptor, POLLOUT, 0};
      if (poll(&full, 1, FULL_SOCKET_MS) == 0) break;
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return static_cast<std::int64_t>(sent);
}

void read_sockets(const std::int32_t* descriptors, std::uint32_t count, ReadRing ring) noexcept {
  const auto fail = [&ring] {
    ring.words[ReadRing::ERROR].store(static_cast<std::uint32_t>(errno), std::memory_order_release);
  };
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) return fail();
  bool is_reading = true, is_more = false;
  for (std::uint32_t i = 0; i < count && is_reading; i++) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u32 = i;
    const int is_on = 1;
    if (setsockopt(descriptors[i], SOL_SOCKET, SO_TIMESTAMPNS, &is_on, sizeof(is_on)) == 0 &&
        epoll_ctl(poller, EPOLL_CTL_ADD, descriptors[i], &wanted) == 0) {
      continue;
    }
    fail();
    is_reading = false;
  }
  std::uint32_t written = ring.words[ReadRing::WRITTEN].load(std::memory_order_relaxed);
  while (is_reading && ring.words[ReadRing::IS_STOPPED].load(std::memory_order_relaxed) == 0) {
    epoll_event events[EVENTS_MAX];
    if (!is_more && epoll_wait(poller, events, 1, STOP_CHECK_MS) > 0) {
      sleep_until(now_ns() + GATHER_NS, 0);
    }
    const int ready = epoll_wait(poller, events, EVENTS_MAX, 0);
    is_more = ready == EVENTS_MAX;
    for (int i = 0; i < ready && is_reading; i++) {
      const std::uint32_t index = events[i].data.u32;
      is_reading = read_one(descriptors[index], index, ring, written);
    }
  }
  close(poller);
}

}  // namespace tickd::load
