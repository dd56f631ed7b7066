#include "state/ids.hpp"

#include <charconv>

namespace weir {
namespace {

constexpr std::size_t digits_per_half = 16;

void append_hex(std::uint64_t value, std::string& out) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out.push_back(digits[(value >> shift) & 15]);
}

/// False unless `text` is 16 lowercase hex digits.
bool parse_hex(std::string_view text, std::uint64_t& value) {
  if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
  return std::from_chars(text.data(), text.data() + text.size(), value, 16).ec == std::errc();
}

}  // namespace

std::string to_string(const JobId& id) {
  std::string text;
  text.reserve(2 * digits_per_half);
  append_hex(id.high, text);
  append_hex(id.low, text);
  return text;
}

Result<JobId> parse_job_id(std::string_view text) {
  JobId id;
  if (text.size() != 2 * digits_per_half || !parse_hex(text.substr(0, digits_per_half), id.high) ||
      !parse_hex(text.substr(digits_per_half), id.low)) {
    return error(Errc::invalid_argument,
                 "'" + std::string(text) + "' is no job id: it must be 32 lowercase hex digits");
  }
  return id;
}

std::string to_string(const ExecutionId& id) {
  return std::to_string(id.vertex) + "/" + std::to_string(id.subtask);
}

std::string to_string(const Fence& fence) {
  return "leader epoch " + std::to_string(fence.epoch.value) + ", attempt " +
         std::to_string(fence.attempt);
}

}  // namespace weir
