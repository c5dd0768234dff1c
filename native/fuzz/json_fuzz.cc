// Fuzz target: the scanner alone. It takes a text if, and only if, the oracle does: but for escapes
// and depth, which are the JS twin's.

#include "../json_scan.h"
#include "fuzz_frame.h"

using namespace tickd;
using namespace tickd::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const OwnBytes bytes(data, size);
  const Byte* begin = bytes.frame().bytes;
  const Byte* end = begin + size;
  const Byte* at = skip_space(begin, end);
  const bool is_nested = at < end && (*at == '{' || *at == '[');
  const Byte* next = is_nested ? skip_nested(at, end) : skip_scalar(at, end);
  const bool is_taken = next != nullptr && skip_space(next, end) == end;
  oracle::Parser parser(bytes.text());
  const bool is_json = parser.parse().has_value();
  if (is_taken) CHECK(is_json && !parser.has_escape);
  if (is_json && !parser.has_escape && parser.depth_max < DEPTH_MAX) CHECK(is_taken);
  return 0;
}
