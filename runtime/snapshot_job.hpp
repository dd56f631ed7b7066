#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/events.hpp"
#include "runtime/operator_state.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

/// One operator's share of a snapshot, frozen at the barrier.
struct FrozenOperator {
  std::string uid;
  std::string label;  ///< the operator as sentences begin with it
  std::uint32_t subtask = 0;
  bool finished = false;
  std::vector<StateDeclaration> states;
  std::vector<OperatorStateStore::Frozen> operator_states;
  std::unique_ptr<SnapshotTask> keyed;  ///< null without keyed state
};

/// The asynchronous part of one task's snapshot: writes the frozen shares out and says where they lie.
/// Leaves no file behind when it fails or is cancelled.
/// Threads: made on the task thread; `run` once, on the I/O pool; `cancel` on any.
class SnapshotJob {
 public:
  SnapshotJob(std::vector<FrozenOperator> operators, std::unique_ptr<TaskSnapshotWriter> writer)
      : operators_(std::move(operators)), writer_(std::move(writer)) {}
  /// Errors: what the writer and the backends say; `cancelled`.
  [[nodiscard]] Result<TaskSnapshot> run();
  void cancel() { writer_->cancel(); }

 private:
  [[nodiscard]] Result<TaskSnapshot> write();
  [[nodiscard]] Result<OperatorShare> write_operator(FrozenOperator& frozen,
                                                     std::vector<DataLocation>& locations);
  [[nodiscard]] Result<OperatorShare> write_share(FrozenOperator& frozen,
                                                  std::vector<DataLocation>& locations);
  std::vector<FrozenOperator> operators_;
  std::unique_ptr<TaskSnapshotWriter> writer_;
};

}  // namespace weir
