#pragma once

#include <string>

namespace weir {

/// The completion script of `shell`: `bash`, `zsh` or `fish`. Made from the verbs, their options and
/// the configuration's keys; job ids come from `weir list` when it is used.
[[nodiscard]] std::string completion_script(const std::string& shell);

}  // namespace weir
