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

/// Durations and sizes of one task's share of a checkpoint, for people.
struct CheckpointMetrics {
  std::int64_t alignment_us = 0;
  std::int64_t sync_us = 0;
  std::int64_t async_us = 0;
  std::uint64_t state_bytes = 0;
};
WEIR_FIELDS(CheckpointMetrics, alignment_us, sync_us, async_us, state_bytes)

}  // namespace weir
