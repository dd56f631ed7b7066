#pragma once

#include <memory>
#include <utility>

#include "backends/native_states.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/memory_budget.hpp"

namespace weir {

/// Keeps state in memory and checkpoints within the acknowledgement, hence with the JobManager:
/// `state.backend: memory` (or `jobmanager`). For small state; a checkpoint over a limit is declined.
/// Savepoints go to files, without limits.
/// Threads: any.
class MemoryStateBackend final : public StateBackend {
 public:
  static constexpr std::uint64_t default_max_state_bytes = std::uint64_t{5} << 20;
  static constexpr std::uint64_t default_max_payload_bytes = std::uint64_t{16} << 20;

  /// Limits of a checkpoint: of one state and subtask, and of one acknowledgement; and what all keyed state
  /// of this backend may take. `native` reads snapshots that hold the files of a database; without it they are
  /// refused.
  explicit MemoryStateBackend(
      std::uint64_t max_state_bytes = default_max_state_bytes,
      std::uint64_t max_payload_bytes = default_max_payload_bytes,
      std::shared_ptr<MemoryBudget> budget = std::make_shared<MemoryBudget>(),
      NativeStatesFactory native = {})
      : max_state_bytes_(max_state_bytes),
        max_payload_bytes_(max_payload_bytes),
        budget_(std::move(budget)),
        native_(std::move(native)) {}

  [[nodiscard]] std::string_view name() const override { return "memory"; }
  [[nodiscard]] Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override;
  [[nodiscard]] SnapshotPlacement placement(SnapshotKind kind) const override;

 private:
  const std::uint64_t max_state_bytes_;
  const std::uint64_t max_payload_bytes_;
  const std::shared_ptr<MemoryBudget> budget_;
  const NativeStatesFactory native_;
};

}  // namespace weir
