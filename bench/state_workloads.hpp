#pragma once

#include <cstdint>
#include <string>

#include "bench/report.hpp"

// Workloads of the state layer alone, in this process and one thread, on real files.
namespace weir::bench {

/// A whole checkpoint of the Fs backend, then incremental ones after few changes: seconds until the file
/// is durable, bytes, and the synchronous part (P3, P4, P5). Values have 128 bytes.
void measure_checkpoints(Report& report, const std::string& directory, std::uint64_t keys);
/// Restoring a canonical savepoint of `keys` counters on each backend, until the first record could be
/// processed.
void measure_restores(Report& report, const std::string& directory, std::uint64_t keys);
/// Appends to `keys` lists (P15).
void measure_appends(Report& report, std::uint64_t keys, std::uint64_t appends);

}  // namespace weir::bench
