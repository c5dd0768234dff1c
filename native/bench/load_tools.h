// What a load must do on little processor time, so that it does not take it from whom it measures.
//
// Linux only; part of no daemon.
#ifndef TICKD_LOAD_TOOLS_H
#define TICKD_LOAD_TOOLS_H

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tickd::load {

/** Now on CLOCK_MONOTONIC (process.hrtime of Node), in nanoseconds. */
std::int64_t now_ns() noexcept;

/**
 * Gives the calling thread the processors before all others (first in, first out), as if it were on
 * a machine of its own. 0, or the system's error number: it is a privilege.
 */
int come_first() noexcept;

/** Sleeps, and spins for the last `spin_ns`. Returns at once where that time has passed. */
void sleep_until(std::int64_t due_ns, std::int64_t spin_ns) noexcept;

/**
 * Writes to a socket, and waits where it is full, but not for longer than `FULL_SOCKET_MS`. Returns
 * how many bytes it took; below 0: the system's error number, negated.
 */
std::int64_t send_some(int descriptor, const std::uint8_t* bytes, std::size_t size) noexcept;
inline constexpr int FULL_SOCKET_MS = 100;

/**
 * The ring between the thread that reads sockets and whoever looks at what it read.
 *
 * Entries of whole units of 8 bytes: socket's index (u32), bytes (u32), when the last of them came
 * to the socket (f64, ns, by the system's stamp), then the bytes, never split. Positions count
 * units, modulo 2^32. An entry of SKIP bytes: the ring goes on at its begin.
 */
struct ReadRing {
  static constexpr std::uint32_t UNIT_BYTES = 8;
  static constexpr std::uint32_t HEADER_UNITS = 2;
  static constexpr std::uint32_t SKIP = 0xffffffff;
  static constexpr std::uint32_t READ_BYTES_MAX = 64 * 1024;

  /** Shared 32-bit words of the ring's control. */
  enum Word { WRITTEN, READ, IS_STOPPED, ERROR, WORD_COUNT };

  std::uint8_t* bytes;
  /** A power of two. */
  std::uint32_t units;
  std::atomic<std::uint32_t>* words;
};

/** Error words below it are the system's; `END + i` = the other side closed the i-th socket. */
inline constexpr std::uint32_t END = 1'000'000;

/**
 * Reads the sockets into the ring until IS_STOPPED, or until one ends or fails (see ERROR). Waits
 * while the ring is full. What came in several pieces since the last read counts as come with the
 * last.
 */
void read_sockets(const std::int32_t* descriptors, std::uint32_t count, ReadRing ring) noexcept;

}  // namespace tickd::load

#endif
