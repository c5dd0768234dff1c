// One JSON object taken apart into the spans of the members that a kernel knows.
//
// The twin of src/decode/object-scan.ts: the whole object is checked, in one pass; for each known
// key it is noted where its value lies and of which type it is. A key that comes twice keeps its
// last value. A span is the value's text: without quotes for strings, with brackets for arrays.
#ifndef TICKD_OBJECT_SCAN_H
#define TICKD_OBJECT_SCAN_H

#include "json_scan.h"
#include "key_set.h"

namespace tickd {

/** `whole`: a number that is whole, not negative and of at most 18 digits; its value is noted. */
enum class Type : Byte { absent, string, number, whole, yes, no, null, array, object };

struct Member {
  const Byte* start;
  const Byte* end;
  std::uint64_t whole;
  Type type;
};

/** The members of an object by slot. Unknown ones share a place that nobody reads: slot -1. */
template <std::size_t Count>
struct Members {
  static_assert(Count < 32, "a bit for each slot, and one for the unknown");
  std::uint32_t seen = 0;
  Member members[Count + 1];

  Member& place(int slot) noexcept {
    seen |= 1u << (slot + 1);
    return members[slot + 1];
  }
  bool has(int slot) const noexcept { return (seen >> (slot + 1) & 1) != 0; }
  Type type(int slot) const noexcept { return has(slot) ? members[slot + 1].type : Type::absent; }
  /** Absent, or null. */
  bool is_nothing(int slot) const noexcept {
    return !has(slot) || members[slot + 1].type == Type::null;
  }
  const Member& operator[](int slot) const noexcept { return members[slot + 1]; }
};

/** No key's value is scanned further. */
constexpr int NO_SLOT = -2;

/** Scans the value at `at` into `member`; returns what is behind it, or nullptr. */
inline const Byte* scan_value(const Byte* at, const Byte* end, Member& member) noexcept {
  const Byte first = *at;
  if (first == '"') {
    const Byte* closing = string_end(at + 1, end);
    if (closing == nullptr) return nullptr;
    member.type = Type::string;
    member.start = at + 1;
    member.end = closing;
    return closing + 1;
  }
  const Byte* next;
  member.start = at;
  if (first == '-' || (first >= '0' && first <= '9')) {
    const Number number = skip_number(at, end);
    next = number.end;
    member.type = number.is_whole ? Type::whole : Type::number;
    member.whole = number.whole;
  } else if (first == '{' || first == '[') {
    next = skip_nested(at, end);
    member.type = first == '{' ? Type::object : Type::array;
  } else {
    next = skip_literal(at, end);
    member.type = first == 't' ? Type::yes : first == 'f' ? Type::no : Type::null;
  }
  member.end = next;
  return next;
}

/**
 * The keys of the object before, in order: a feed writes its objects alike, and a key that is
 * compared with the one expected need not be looked up. Never trusted, only tried.
 */
class Guess {
 public:
  /** The object's keys begin. */
  void begin() noexcept { place_ = 0; }
  /** The slot expected next; negative = none. */
  int next() const noexcept { return slots_[place_] - 1; }
  /** What came. */
  void came(int slot) noexcept {
    slots_[place_] = static_cast<std::int8_t>(slot + 1);
    if (place_ < PLACES - 1) place_++;
  }

 private:
  static constexpr std::size_t PLACES = 32;
  /** Slot + 1; 0 = a key that is not known. */
  std::int8_t slots_[PLACES] = {};
  std::size_t place_ = 0;
};

/** The key that came behind each key last time, for each kind of object. Never trusted, too. */
template <int Kinds, int Count>
class Successors {
 public:
  /** Behind nothing: an object's first key. */
  static constexpr int BEGIN = Count;

  int of(int kind, int before) const noexcept { return slots_[kind][before]; }
  void learn(int kind, int before, int slot) noexcept {
    slots_[kind][before] = static_cast<std::uint8_t>(slot);
  }

 private:
  static_assert(Count < 32, "a row has a place for each, and one for none");
  std::uint8_t slots_[Kinds][32] = {};
};

/** The slot of the name where `"x":` of a letter x stands at `at`; otherwise NO_LETTER. */
template <std::size_t Count>
int letter_slot(const Byte* at, const Byte* end, const KeySet<Count>& keys) noexcept {
  if (end - at < 4 || (load_u32(at) & 0xffff00ff) != 0x3a220022) return keys.NO_LETTER;
  return keys.find_letter(at[1]);
}

/** Behind the key at `at` and its colon; `slot` is the key's, or -1. */
template <std::size_t Count>
[[gnu::noinline]] const Byte* find_key(const Byte* at, const Byte* end, const KeySet<Count>& keys,
                     int& slot) noexcept {
  if (at >= end || *at != '"') return nullptr;
  const Byte* closing = string_end(at + 1, end);
  if (closing == nullptr) return nullptr;
  slot = keys.find(at + 1, static_cast<std::size_t>(closing - at - 1), end);
  const Byte* next = skip_space(closing + 1, end);
  return next < end && *next == ':' ? next + 1 : nullptr;
}

/**
 * Scans the object whose brace is at `at`; returns what is behind it, or nullptr. Where `nested` is
 * given, an object that is the value of key NestedSlot is scanned into it in the same pass.
 */
template <int NestedSlot = NO_SLOT, std::size_t Count>
const Byte* scan_object(const Byte* at, const Byte* end, const KeySet<Count>& keys, Guess& guess,
                        Members<Count>& out, Members<Count>* nested = nullptr) noexcept {
  out.seen = 0;
  guess.begin();
  const Byte* next = skip_space(at + 1, end);
  if (next < end && *next == '}') return next + 1;
  for (;;) {
    int slot = letter_slot(next, end, keys);
    if (slot != keys.NO_LETTER) {
      next += 4;
    } else {
      slot = guess.next();
      const Byte* behind = slot < 0 ? nullptr : keys.behind(slot, next, end);
      if (behind == nullptr) behind = find_key(next, end, keys, slot);
      if (behind == nullptr) return nullptr;
      guess.came(slot);
      next = behind;
    }
    if (next >= end) return nullptr;
    if (*next <= ' ') {
      next = skip_space_slowly(next, end);
      if (next >= end) return nullptr;
    }
    Member& member = out.place(slot);
    if (NestedSlot >= 0 && slot == NestedSlot && *next == '{') {
      member.start = next;
      next = scan_object(next, end, keys, guess, *nested);
      member.type = Type::object;
      member.end = next;
    } else {
      next = scan_value(next, end, member);
    }
    if (next == nullptr) return nullptr;
    // Between members without white space there is this, and nothing else to look for.
    if (end - next >= 2 && load_u16(next) == 0x222c) {
      next++;
      continue;
    }
    next = skip_space(next, end);
    if (next >= end) return nullptr;
    if (*next == '}') return next + 1;
    if (*next != ',') return nullptr;
    next = skip_space(next + 1, end);
  }
}

}  // namespace tickd

#endif
