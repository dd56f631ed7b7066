#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messages/messages.hpp"
#include "runtime/events.hpp"
#include "runtime/plan_description.hpp"
#include "state/clock.hpp"
#include "state/ids.hpp"
#include "state/result.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// Names a client's request between the coordinator and its actor.
using RequestId = std::uint64_t;

/// The life of a checkpoint that has been triggered. COMPLETED and ABORTED are no states of a
/// `PendingCheckpoint`: the coordinator then takes it out of its table.
enum class PendingState : std::uint8_t {
  preparing,   ///< PENDING: its directory is being made, no task knows of it yet
  prepared,    ///< PENDING: the same, but what is made is the directory of an older one
  triggered,   ///< PENDING: barriers flow, acknowledgements are awaited
  finalizing,  ///< all have acknowledged, the metadata is being written; nothing aborts it
  unresolved,  ///< FINALIZING: the write failed and may have left a file; being looked into
  durable      ///< FINALIZING: written, waits for an older one so that completions are in id order
};

/// One checkpoint in flight: what it is, and which tasks have acknowledged it with what.
/// It only collects; the coordinator decides.
/// Threads: none of its own.
class PendingCheckpoint {
 public:
  enum class AcknowledgeResult : std::uint8_t {
    accepted,
    duplicate,  ///< this task has acknowledged already; the repeated message names the same files
    unknown     ///< not one of the tasks that were asked
  };

  /// What is fixed when the checkpoint begins.
  struct Settings {
    CheckpointId id;
    Fence fence;
    CheckpointOptions options;         ///< `directory` follows with `directory_created`
    std::int64_t triggered_at_ms = 0;  ///< wall clock, milliseconds since 1970
    MonotonicTime triggered_at;
    MonotonicTime expires_at;
    std::optional<RequestId> request;  ///< of the client that waits for it
    /// What it builds on, so that its files are kept; null if it is whole.
    std::shared_ptr<const SnapshotMetadata> base;
  };

  /// `awaited` are the tasks whose acknowledgement is needed, `finished` those that had ended
  /// before.
  PendingCheckpoint(Settings settings, const std::vector<ExecutionId>& awaited,
                    std::vector<ExecutionId> finished);

  [[nodiscard]] CheckpointId id() const { return settings_.id; }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] SnapshotKind kind() const { return settings_.options.kind; }
  /// The final checkpoint; a drained terminal savepoint is not one.
  [[nodiscard]] bool is_final() const {
    return settings_.options.final && kind() == SnapshotKind::checkpoint;
  }
  [[nodiscard]] const std::string& directory() const { return settings_.options.directory; }
  /// `checkpoint 7`, `savepoint 7` or `final checkpoint 7`, for sentences.
  [[nodiscard]] std::string name() const;

  /// PENDING: it may still be aborted.
  [[nodiscard]] bool is_pending() const { return state < PendingState::finalizing; }
  void directory_created(std::string directory) {
    settings_.options.directory = std::move(directory);
  }

  /// Takes one task's share; moves from `snapshot` only if the answer is `accepted`.
  [[nodiscard]] AcknowledgeResult acknowledge(const ExecutionId& execution,
                                              TaskSnapshot&& snapshot);
  /// Adds what an accepted acknowledgement says of itself.
  void add(const CheckpointMetrics& metrics);
  /// The longest durations of any task so far.
  [[nodiscard]] const CheckpointMetrics& longest() const { return longest_; }
  /// Whether this task was asked and has not yet acknowledged.
  [[nodiscard]] bool awaits(const ExecutionId& execution) const;
  /// The tasks that have not yet acknowledged, in order.
  [[nodiscard]] std::vector<ExecutionId> missing() const;
  [[nodiscard]] bool all_acknowledged() const { return missing_ == 0; }
  /// Payload bytes that the tasks have written which have acknowledged.
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  [[nodiscard]] CheckpointProgress progress() const;
  /// The acknowledged shares as one snapshot: locations of all tasks one behind the other,
  /// operators in the plan's order. Gives the shares away. Requires `all_acknowledged()`.
  /// Errors: `corruption` if a share does not fit the plan: names operators or subtasks that its
  /// task does not run, locations that it does not have, or extents that do not fit. A shared file that
  /// several tasks name is one location.
  [[nodiscard]] Result<SnapshotMetadata> assemble(const JobId& job, const std::string& job_name,
                                                  const PlanDescription& plan,
                                                  const JobGraph& graph,
                                                  std::int64_t completed_at_ms);

  // Where it stands: the coordinator's to change.
  PendingState state = PendingState::preparing;
  /// How often it was tried to find out what a failed write has left; only while `unresolved`.
  std::uint32_t resolve_attempts = 0;
  /// When it is tried again; none while the answer is awaited.
  std::optional<MonotonicTime> resolve_at;
  /// What will be, or is, in `_metadata`; set when all have acknowledged.
  std::shared_ptr<const SnapshotMetadata> metadata;

 private:
  Settings settings_;
  std::map<ExecutionId, std::optional<TaskSnapshot>> shares_;  ///< of every awaited task
  std::size_t missing_;                                        ///< shares without a value
  CheckpointMetrics longest_;
  std::uint64_t written_bytes_ = 0;
  std::vector<ExecutionId> finished_;
};

}  // namespace weir
