// A second opinion on JSON, decimals and times: slow, plain, written without a look at the kernels.
//
// For fuzz targets and tests. Strings with an escape are told as such and not decoded.
#ifndef TICKD_JSON_ORACLE_H
#define TICKD_JSON_ORACLE_H

#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tickd::oracle {

struct Json {
  enum Kind { null, boolean, number, string, array, object } kind = null;
  /** Of a string without its quotes; of a number; "true" or "false". */
  std::string text;
  /** Elements of an array; values of an object, whose keys these are. */
  std::vector<Json> items;
  std::vector<std::string> keys;

  /** The last member of this name. */
  const Json* find(const std::string& name) const {
    const Json* found = nullptr;
    for (std::size_t i = 0; i < keys.size(); i++) {
      if (keys[i] == name) found = &items[i];
    }
    return found;
  }
};

class Parser {
 public:
  explicit Parser(std::string text) : text_(std::move(text)) {}

  bool has_escape = false;
  int depth_max = 0;

  /** The whole text as one value. */
  std::optional<Json> parse() {
    Json value;
    space();
    if (!read(value, 0)) return std::nullopt;
    space();
    if (at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char wanted) {
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    at_++;
    return true;
  }
  void space() {
    while (at_ < text_.size() && std::string(" \t\r\n").find(text_[at_]) != std::string::npos) {
      at_++;
    }
  }
  bool word(const char* wanted) {
    const std::string w(wanted);
    if (text_.compare(at_, w.size(), w) != 0) return false;
    at_ += w.size();
    return true;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  bool read(Json& out, int depth) {
    if (depth > depth_max) depth_max = depth;
    switch (peek()) {
      case '"':
        out.kind = Json::string;
        return read_string(out.text);
      case '{':
        return read_object(out, depth);
      case '[':
        return read_array(out, depth);
      case 't':
        out = {Json::boolean, "true", {}, {}};
        return word("true");
      case 'f':
        out = {Json::boolean, "false", {}, {}};
        return word("false");
      case 'n':
        return word("null");
      default:
        out.kind = Json::number;
        return read_number(out.text);
    }
  }

  bool read_string(std::string& out) {
    if (!take('"')) return false;
    for (;;) {
      if (at_ >= text_.size()) return false;
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      out += c;
      if (c != '\\') continue;
      has_escape = true;
      if (at_ >= text_.size()) return false;
      const char letter = text_[at_++];
      out += letter;
      if (letter == 'u') {
        for (int i = 0; i < 4; i++) {
          if (!std::isxdigit(static_cast<unsigned char>(peek()))) return false;
          out += text_[at_++];
        }
      } else if (std::string("\"\\/bfnrt").find(letter) == std::string::npos) {
        return false;
      }
    }
  }

  bool digits(std::string& out) {
    if (!is_digit(peek())) return false;
    while (is_digit(peek())) out += text_[at_++];
    return true;
  }

  bool read_number(std::string& out) {
    if (take('-')) out += '-';
    if (peek() == '0') {
      out += text_[at_++];
    } else if (!digits(out)) {
      return false;
    }
    if (take('.')) {
      out += '.';
      if (!digits(out)) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      out += text_[at_++];
      if (peek() == '+' || peek() == '-') out += text_[at_++];
      if (!digits(out)) return false;
    }
    return true;
  }

  bool read_array(Json& out, int depth) {
    out.kind = Json::array;
    at_++;
    space();
    if (take(']')) return true;
    do {
      Json item;
      space();
      if (!read(item, depth + 1)) return false;
      out.items.push_back(std::move(item));
      space();
    } while (take(','));
    return take(']');
  }

  bool read_object(Json& out, int depth) {
    out.kind = Json::object;
    at_++;
    space();
    if (take('}')) return true;
    do {
      std::string key;
      Json value;
      space();
      if (!read_string(key)) return false;
      space();
      if (!take(':')) return false;
      space();
      if (!read(value, depth + 1)) return false;
      out.keys.push_back(std::move(key));
      out.items.push_back(std::move(value));
      space();
    } while (take(','));
    return take('}');
  }

  std::string text_;
  std::size_t at_ = 0;
};

/** The decimal in `text` times 10^decimals; nullopt where it is none or does not fit exactly. */
inline std::optional<std::int64_t> decimal(const std::string& text, int decimals) {
  std::size_t at = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) at++;
  __int128 value = 0;
  int places = -1;
  std::size_t digits_before_point = 0;
  std::size_t digits = 0;
  for (; at < text.size(); at++) {
    if (text[at] == '.' && places < 0) {
      digits_before_point = digits;
      places = 0;
      continue;
    }
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
    digits++;
    if (places == decimals) {
      if (text[at] != '0') return std::nullopt;
      continue;
    }
    if (places >= 0) places++;
    value = value * 10 + (text[at] - '0');
    if (value > INT64_MAX) return std::nullopt;
  }
  if (places < 0) digits_before_point = digits;
  if (digits_before_point == 0 || (places >= 0 && digits == digits_before_point)) {
    return std::nullopt;
  }
  for (int i = places < 0 ? 0 : places; i < decimals; i++) {
    value *= 10;
    if (value > INT64_MAX) return std::nullopt;
  }
  return static_cast<std::int64_t>(negative ? -value : value);
}

}  // namespace tickd::oracle

#endif
