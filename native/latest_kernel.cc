// The kernel of latest values: see latest_kernel.h.

#include "latest_kernel.h"

namespace tickd {
namespace {

namespace l = layout;

// The compiler's atomics: not every standard library has atomic_ref.
void store(std::int32_t& word, std::uint32_t value) noexcept {
  __atomic_store_n(&word, static_cast<std::int32_t>(value), __ATOMIC_RELAXED);
}

/** Writes one slot behind its seqlock: the version is odd meanwhile. */
void write(std::int32_t* slot, const Byte* tick, std::uint64_t seq) noexcept {
  std::int32_t& version = slot[l::LATEST_VERSION];
  // Our own last value: there is one writer. An odd one was left by a writer that crashed.
  const std::int32_t before = __atomic_load_n(&version, __ATOMIC_RELAXED);
  const std::uint32_t even = (static_cast<std::uint32_t>(before) | 1) - 1;
  store(version, even + 1);
  // Before the first word changes: pairs with both version loads of a reader.
  __atomic_thread_fence(__ATOMIC_RELEASE);
  store(slot[l::LATEST_SEQ_LOW], static_cast<std::uint32_t>(seq));
  store(slot[l::LATEST_SEQ_HIGH], static_cast<std::uint32_t>(seq >> 32));
  for (std::size_t i = 0; i < l::TICK_BYTES / 4; i++) {
    std::uint32_t word;
    std::memcpy(&word, tick + 4 * i, sizeof word);
    store(slot[l::LATEST_RECORD + i], word);
  }
  const std::uint32_t next = even + 2;
  // After the last word: pairs with a reader's first load. 0 is skipped when it wraps round.
  __atomic_store_n(&version, static_cast<std::int32_t>(next == 0 ? 2 : next), __ATOMIC_RELEASE);
}

}  // namespace

void apply_latest(const LatestTable& table, const Byte* ticks, std::size_t count,
                  std::uint64_t first_seq, std::int32_t run) noexcept {
  for (std::size_t i = count; i-- > 0;) {
    const Byte* tick = ticks + i * l::TICK_BYTES;
    const std::size_t kind = tick[l::OFFSET_KIND];
    if (kind >= l::KIND_COUNT || l::LATEST_RANK[kind] == l::LATEST_NO_RANK) continue;
    std::uint16_t flags;
    std::memcpy(&flags, tick + l::OFFSET_FLAGS, sizeof flags);
    if ((flags & l::FLAG_OUT_OF_ORDER) != 0) continue;
    std::uint32_t instrument;
    std::memcpy(&instrument, tick + l::OFFSET_INSTRUMENT, sizeof instrument);
    // 0 is no instrument.
    const std::size_t place = (std::size_t{instrument} - 1) * l::LATEST_KIND_COUNT;
    const std::size_t slot = place + l::LATEST_RANK[kind];
    if (instrument == 0 || slot >= table.slot_count || table.stamps[slot] == run) continue;
    table.stamps[slot] = run;
    write(table.words + slot * l::LATEST_SLOT_WORDS, tick, first_seq + i);
  }
}

}  // namespace tickd
