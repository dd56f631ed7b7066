#pragma once

#include <string>

#include "api/job.hpp"
#include "state/result.hpp"

namespace weir {

/// Whether this Weir can run the job that `descriptor` describes; its pointers are not looked at. The job
/// is in the library or program at `path`.
/// Errors: `unsupported`, one sentence that says what the job was built with.
[[nodiscard]] Status check_descriptor(const JobDescriptor& descriptor, const std::string& path);

}  // namespace weir
