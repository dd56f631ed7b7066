#pragma once

#include <memory>
#include <utility>

#include "backends/native_states.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/memory_budget.hpp"

namespace weir {

/// Keeps state in memory and snapshots in files: `state.backend: filesystem` (or `fs`).
/// Threads: any.
class FsStateBackend final : public StateBackend {
 public:
  /// `state.backend.fs.memory-threshold`: a subtask's payload up to this size goes into the
  /// acknowledgement, because a file of its own would cost more than it holds.
  static constexpr std::uint64_t default_memory_threshold_bytes = 20480;

  /// `budget`: what all keyed state of this backend may take. `native` reads snapshots that hold the files of
  /// a database; without it they are refused.
  explicit FsStateBackend(std::uint64_t memory_threshold_bytes = default_memory_threshold_bytes,
                          std::shared_ptr<MemoryBudget> budget = std::make_shared<MemoryBudget>(),
                          NativeStatesFactory native = {})
      : memory_threshold_bytes_(memory_threshold_bytes),
        budget_(std::move(budget)),
        native_(std::move(native)) {}

  [[nodiscard]] std::string_view name() const override { return "fs"; }
  [[nodiscard]] Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override;
  [[nodiscard]] SnapshotPlacement placement(SnapshotKind kind) const override;

 private:
  const std::uint64_t memory_threshold_bytes_;
  const std::shared_ptr<MemoryBudget> budget_;
  const NativeStatesFactory native_;
};

}  // namespace weir
