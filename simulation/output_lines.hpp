#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// Appends the lines of `text`, without their ends, to `lines`. The last one may lack its end.
inline void append_lines(std::string_view text, std::vector<std::string>& lines) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace weir
