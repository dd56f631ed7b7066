#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "runtime/events.hpp"

namespace weir {

/// What becomes of the last completed checkpoints when a job ends as it should. A failed or killed
/// job's are always kept.
enum class CheckpointRetention : std::uint8_t {
  no_externalized_checkpoints,  ///< deleted on FINISHED and CANCELED
  delete_on_cancellation,       ///< deleted on CANCELED, and on FINISHED
  retain_on_cancellation        ///< kept
};
WEIR_ENUM(CheckpointRetention, no_externalized_checkpoints, delete_on_cancellation,
          retain_on_cancellation)

/// The coordinator's settings; keys and defaults are Flink's (`execution.checkpointing.*`).
struct CheckpointConfig {
  std::optional<std::chrono::milliseconds> interval;  ///< none: no periodic checkpoints
  Alignment mode = Alignment::exactly_once;
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
  std::chrono::milliseconds min_pause{0};  ///< from a completion to the next periodic trigger
  std::uint32_t max_concurrent = 1;
  std::optional<std::uint32_t> tolerable_failed;  ///< consecutive failures borne; none: unlimited
  std::uint32_t num_retained = 1;
  CheckpointRetention retention = CheckpointRetention::no_externalized_checkpoints;
  bool incremental = false;  ///< checkpoints build on older ones if the state backend can
};

}  // namespace weir
