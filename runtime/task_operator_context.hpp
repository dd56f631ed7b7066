#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/operator.hpp"
#include "runtime/operator_state.hpp"
#include "runtime/snapshot_job.hpp"
#include "runtime/task_environment.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

/// What one operator sees of the task it runs in, and the states that it keeps there: how they are restored
/// and how they are frozen for a snapshot.
///
/// A restore goes on in four steps, in this order: `restore_operator_state`, the operator's `open`, in which
/// it asks for its states, `check_claims` once it has, and `load_restored` until the keyed state is all
/// there.
/// Threads: the task thread, but for what `waker` returns.
class TaskOperatorContext final : public OperatorContext {
 public:
  /// How an operator calls the task's attention to itself.
  struct Attention {
    /// Calls it at this time or soon after.
    std::function<void(MonotonicTime)> at;
    /// Calls it as soon as may be. Any thread, also after the task has ended.
    std::function<void()> now;
  };
  /// Operator `index` of the task's chain, which `description` describes. `environment`, `label` and
  /// `description` outlive the context.
  TaskOperatorContext(const TaskEnvironment& environment, std::size_t index,
                      const std::string& label, const OperatorDescription& description,
                      Attention attention);

  const std::string& uid() const override { return description_.uid; }
  const std::string& label() const override { return label_; }
  JobId job() const override { return environment_.job; }
  const std::string& job_name() const override { return environment_.job_name; }
  std::uint32_t subtask() const override { return environment_.execution.subtask; }
  std::uint32_t parallelism() const override { return description_.parallelism; }
  std::uint32_t max_parallelism() const override { return description_.max_parallelism; }
  bool is_restored() const override { return environment_.restore.has_value(); }
  OperatorStateStore& operator_state() override { return operator_state_; }
  FileSystem& files() override { return *environment_.files; }
  const Clock& clock() const override { return *environment_.clock; }
  Random& random() override { return *environment_.random; }
  StandardStreams& standard_streams() override { return *environment_.standard_streams; }
  void wake_at(MonotonicTime time) override { attention_.at(time); }
  std::function<void()> waker() override { return attention_.now; }
  void warn(const std::string& text) override;
  Result<KeyedStateBackend*> keyed_state(std::size_t key_width) override;

  /// Hands the restored operator states over.
  /// Errors: those of reading them; `corruption` if they do not match their checksums.
  [[nodiscard]] Status restore_operator_state();
  /// What the operator starts from; null if there is nothing.
  [[nodiscard]] const OperatorRestore* restored() const;
  /// Checks what the operator has asked for, and lets go of the files that were restored from; the keyed
  /// state holds on to those it still reads. Errors: `already_exists` if a name is used twice;
  /// `state_incompatible` if the snapshot has a state that it did not ask for, or a field that seems to have
  /// another name now, unless the user allows it. Warns of other fields that are dropped.
  [[nodiscard]] Status check_claims();
  /// Loads a piece of the restored keyed state. Returns whether all of it is there.
  [[nodiscard]] Result<bool> load_restored();

  /// The keyed state; null if the operator has asked for none.
  [[nodiscard]] KeyedStateBackend* keyed() { return keyed_.get(); }
  /// The operator's share of the snapshot that `barrier` asks for, as its states are now. `finished`: it has
  /// reached the end of its input. Quick at any size of keyed state. Errors: those of `begin_snapshot`.
  [[nodiscard]] Result<FrozenOperator> freeze(const CheckpointBarrier& barrier, bool finished);

 private:
  [[nodiscard]] Status check_names() const;
  [[nodiscard]] Status check_unclaimed() const;
  [[nodiscard]] Status check_dropped_fields();
  [[nodiscard]] Result<std::shared_ptr<SnapshotSource>> source_of(std::uint32_t location);
  [[nodiscard]] Result<std::vector<RestoredKeyedState>> restored_keyed_states(
      const OperatorRestore& restore);
  [[nodiscard]] Result<std::vector<std::string>> read_elements(const OperatorStateRestore& part);

  const TaskEnvironment& environment_;
  const std::size_t index_;
  const std::string& label_;
  const OperatorDescription& description_;
  const Attention attention_;
  OperatorStateStore operator_state_;
  std::unique_ptr<KeyedStateBackend> keyed_;
  std::map<std::uint32_t, std::shared_ptr<SnapshotSource>> sources_;  ///< by location
};

}  // namespace weir
