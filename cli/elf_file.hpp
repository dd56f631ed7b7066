#pragma once

#include <string>
#include <string_view>

#include "state/result.hpp"

namespace weir {

/// The symbol that every job library exports (api/job.hpp).
inline constexpr std::string_view job_descriptor_symbol = "weir_job_descriptor";

/// Looks at the bytes of a file called `path` without running any of it: whether it is a whole shared
/// library of this machine that exports a job's descriptor of this version. The loader itself crashes
/// on a library that was cut off, and it runs code of the library before it says what is missing.
/// Errors: `unsupported`, one sentence that says what the file is instead.
[[nodiscard]] Status check_job_library(std::string_view bytes, const std::string& path);

/// Whether `bytes` are those of a file that exports a job's descriptor, of whatever version.
[[nodiscard]] bool has_job_descriptor(std::string_view bytes);

}  // namespace weir
