// An instrument table in memory of its own, filled as src/tick/instruments.ts fills it.
#ifndef TICKD_TABLE_FIXTURE_H
#define TICKD_TABLE_FIXTURE_H

#include <string_view>
#include <vector>

#include "../instrument_table.h"

namespace tickd::test {

class TableFixture {
 public:
  static constexpr std::size_t CAPACITY = 16;

  TableFixture() : words_(InstrumentTable::size_of(CAPACITY) / 4) {}

  const Byte* memory() const { return reinterpret_cast<const Byte*>(words_.data()); }

  void add(std::string_view venue, std::string_view name, std::uint32_t id) {
    Byte* memory = reinterpret_cast<Byte*>(words_.data());
    const std::size_t slot_count = CAPACITY * layout::INSTRUMENT_SLOTS_EACH;
    Byte* entry = memory + layout::INSTRUMENT_SLOTS_OFFSET + slot_count * 4 +
                  name_count_ * layout::NAME_BYTES;
    const std::uint32_t hash = InstrumentTable::hash_name(bytes(venue), venue.size(), bytes(name),
                                                          name.size());
    std::memcpy(entry + layout::NAME_HASH, &hash, 4);
    std::memcpy(entry + layout::NAME_INSTRUMENT, &id, 4);
    entry[layout::NAME_VENUE_LENGTH] = static_cast<Byte>(venue.size());
    entry[layout::NAME_LENGTH] = static_cast<Byte>(name.size());
    std::memcpy(entry + layout::NAME_TEXT, venue.data(), venue.size());
    std::memcpy(entry + layout::NAME_TEXT + venue.size(), name.data(), name.size());
    std::uint32_t* slots = words_.data() + layout::INSTRUMENT_SLOTS_OFFSET / 4;
    std::size_t slot = hash & (slot_count - 1);
    while (slots[slot] != 0) slot = (slot + 1) & (slot_count - 1);
    slots[slot] = ++name_count_;
    std::uint32_t& count = words_[layout::INSTRUMENT_COUNT_OFFSET / 4];
    if (id > count) count = id;
  }

  static const Byte* bytes(std::string_view text) {
    return reinterpret_cast<const Byte*>(text.data());
  }

 private:
  std::vector<std::uint32_t> words_;
  std::uint32_t name_count_ = 0;
};

}  // namespace tickd::test

#endif
