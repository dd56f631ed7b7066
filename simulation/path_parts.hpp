#pragma once

#include <string>
#include <string_view>

namespace weir {

/// All of `path` before its last `/`.
[[nodiscard]] inline std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}
/// All behind it.
[[nodiscard]] inline std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace weir
