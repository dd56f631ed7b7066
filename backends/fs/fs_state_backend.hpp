#pragma once

#include "state/keyed_state_backend.hpp"

namespace weir {

/// Keeps state in memory and snapshots in files: `state.backend: filesystem` (or `fs`).
/// Threads: any.
class FsStateBackend final : public StateBackend {
 public:
  /// `state.backend.fs.memory-threshold`: a subtask's payload up to this size goes into the
  /// acknowledgement, because a file of its own would cost more than it holds.
  static constexpr std::uint64_t default_memory_threshold_bytes = 20480;

  explicit FsStateBackend(std::uint64_t memory_threshold_bytes = default_memory_threshold_bytes)
      : memory_threshold_bytes_(memory_threshold_bytes) {}

  [[nodiscard]] std::string_view name() const override { return "fs"; }
  [[nodiscard]] Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override;
  [[nodiscard]] SnapshotPlacement placement(SnapshotKind kind) const override;

 private:
  const std::uint64_t memory_threshold_bytes_;
};

}  // namespace weir
