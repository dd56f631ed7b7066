#pragma once

#include <cstdint>
#include <string>

#include "bench/report.hpp"

// Workloads of the state layer alone, in this process and one thread, on real files.
namespace weir::bench {

/// Incremental checkpoints of the Fs backend after few changes of `keys` values of 128 bytes: bytes written, and
/// time from the freeze until `_metadata` is durable (P4).
void measure_incremental(Report& report, const std::string& directory, std::uint64_t keys);
/// List state of `keys` keys of the Fs backend: appends until each has 100 elements, snapshot, clearing, and appends
/// again; and reducing state (P15).
void measure_appends(Report& report, const std::string& directory, std::uint64_t keys);

}  // namespace weir::bench
