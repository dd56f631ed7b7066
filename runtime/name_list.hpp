#pragma once

#include <algorithm>
#include <span>
#include <string>

namespace weir {

/// How many names a sentence lists before it only counts them.
inline constexpr std::size_t most_names = 5;

/// `a`, `a and b`, `a, b and c`, or, of more than `most_names`, `a, b, c, d, e and 3 others`.
[[nodiscard]] inline std::string name_list(std::span<const std::string> names) {
  const std::size_t shown = std::min(names.size(), most_names);
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  const std::size_t others = names.size() - shown;
  if (others > 0) text += " and " + std::to_string(others) + (others == 1 ? " other" : " others");
  return text;
}

}  // namespace weir
