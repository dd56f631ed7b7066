#pragma once

#include <cstdint>
#include <string>

#include "state/codec.hpp"

namespace weir {

/// Counters of one operator, of one subtask or summed over them.
struct OperatorMetrics {
  std::string uid;
  std::string name;
  std::uint32_t parallelism = 0;
  std::uint64_t records_in = 0;
  std::uint64_t records_out = 0;
  std::uint64_t state_bytes = 0;
};
WEIR_FIELDS(OperatorMetrics, uid, name, parallelism, records_in, records_out, state_bytes)

/// How long one task's share of a checkpoint took, or the longest of several tasks, in microseconds.
struct CheckpointMetrics {
  std::int64_t alignment_us = 0;  ///< from the first barrier, or the trigger, to the snapshot
  std::int64_t sync_us = 0;       ///< what the records waited for
  std::int64_t async_us = 0;      ///< writing, beside the records
  bool operator==(const CheckpointMetrics&) const = default;
};
WEIR_FIELDS(CheckpointMetrics, alignment_us, sync_us, async_us)

}  // namespace weir
