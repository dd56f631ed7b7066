#pragma once

#include <cstdint>
#include <string>

#include "state/result.hpp"

namespace weir {

/// Checks that the directory `path` belongs to `user` alone: no symbolic link, owned by `user`, and
/// nobody else may write to it. Errors: `not_found`; `unavailable` with what is wrong and how to mend
/// it.
[[nodiscard]] Status check_private_directory(const std::string& path, std::uint32_t user);

/// Makes `path`, whose parent exists, with mode 0700 unless it is there, and checks it. A directory
/// of our own that others may read gets that mode too. Errors: as above; `io_error`.
[[nodiscard]] Status make_private_directory(const std::string& path, std::uint32_t user);

/// The user that this process works for.
[[nodiscard]] std::uint32_t current_user();

}  // namespace weir
