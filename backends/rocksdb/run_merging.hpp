#pragma once

#include <cstdint>

#include <rocksdb/options.h>
#include <rocksdb/table_properties.h>

#include "state/result.hpp"

namespace weir {

/// Makes column families with `options` merge stored values (backends/rocksdb/stored_value.hpp), and files
/// written with them say which is the highest number of a run in them. Every family that opens such files
/// needs the same.
void merge_runs(rocksdb::Options& options);

/// The highest number of a run in files with these properties, 0 if there is none. Errors: `corruption`.
[[nodiscard]] Result<std::uint32_t> newest_run_of(const rocksdb::TablePropertiesCollection& files);

}  // namespace weir
