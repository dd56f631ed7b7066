#pragma once

#include <string>
#include <string_view>

#include "state/result.hpp"

namespace weir {

/// Reads a path as users write it, in a setting, behind an option or in a job: a plain path or
/// `file:///path`, without escapes. A relative path is taken from `working_directory`, which is absolute.
/// Returns an absolute path without scheme, `.`, `..` and trailing slash.
/// Errors: `invalid_argument` (empty, a host in a file URI); `unsupported` for another scheme.
[[nodiscard]] Result<std::string> parse_path(std::string_view setting,
                                             std::string_view working_directory);

}  // namespace weir
