#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/memory/image_chains.hpp"
#include "backends/restored_states.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/memory_budget.hpp"
#include "state/table.hpp"

namespace weir {

/// Keyed state whose tables are the state: that of the Memory and the Fs backend, which differ only in
/// where a snapshot goes.
/// Threads: the task's; snapshot tasks anywhere, also when the backend is gone.
class HeapKeyedStateBackend final : public KeyedStateBackend {
 public:
  /// `writes_images`: a snapshot that need not be canonical consists of segment images. The tables, and
  /// what snapshots hold of their past, count against `budget`: over it, snapshots under way are given up,
  /// and without any `store_changes` fails. `native` reads the files of databases that are restored.
  HeapKeyedStateBackend(const KeyedStateBackendContext& context, bool writes_images,
                        std::shared_ptr<MemoryBudget> budget, NativeStatesFactory native);

  [[nodiscard]] Status restore(std::vector<RestoredKeyedState> states) override;
  [[nodiscard]] Status add_table(std::unique_ptr<TableBase> table) override;
  [[nodiscard]] Result<bool> load_restored() override;
  [[nodiscard]] std::vector<std::string> unclaimed_states() const override;
  [[nodiscard]] std::vector<StateDeclaration> declarations() const override;
  [[nodiscard]] Status store_changes() override;
  [[nodiscard]] Result<std::unique_ptr<SnapshotTask>> begin_snapshot(
      const SnapshotRequest& request) override;
  void checkpoint_complete(CheckpointId id) override;
  [[nodiscard]] Result<std::vector<std::string>> keys_of_group(std::uint32_t group) override;
  [[nodiscard]] std::uint64_t size_bytes() const override;
  void dispose() override { loading_.clear(); }  // it may have local files

 private:
  [[nodiscard]] Status check_budget();
  void note_images(const TableBase& table, const RestoredEntries& entries);
  [[nodiscard]] Status load_piece();
  void remember_restored();
  [[nodiscard]] std::unique_ptr<SnapshotTask> begin_images(const SnapshotRequest& request);

  const std::string operator_label_;
  const bool writes_images_;
  CheckpointId restored_checkpoint_;  // 0 if nobody builds on it, and once `chains_` know it
  BackendImages restored_images_;     // what it consists of
  RestoredStates restored_;
  std::shared_ptr<ImageChains> chains_;
  std::vector<std::unique_ptr<TableBase>> tables_;  // in the order they were added
  MemoryBudget::Share memory_;
  std::uint64_t slices_ = 0;
  /// Set to give a snapshot up; alive as long as it is.
  /// One in flight, for as long as `given_up` lives. It keeps at most what the state took when it began.
  struct InFlight {
    std::weak_ptr<std::atomic<bool>> given_up;
    std::uint64_t state_bytes;
  };
  std::vector<InFlight> snapshots_;
  /// What is yet to be loaded, the next one last.
  std::vector<std::pair<TableBase*, RestoredEntries>> loading_;
};

}  // namespace weir
