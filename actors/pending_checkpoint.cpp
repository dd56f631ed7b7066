#include "actors/pending_checkpoint.hpp"

#include <algorithm>
#include <set>

namespace weir {

namespace {

/// Where the parts of one task's share have their place in the whole snapshot.
struct Assembly {
  const PlanDescription& plan;
  const JobGraph& graph;
  SnapshotMetadata& metadata;
  std::map<std::string, std::uint32_t>& shared;  ///< files that have a location, and its index
};

/// The index within the plan of the operator `uid` of `vertex`, or the plan's size.
std::size_t find_operator(const Assembly& assembly, std::uint32_t vertex, const std::string& uid) {
  for (const auto index : assembly.graph.vertices[vertex].operators) {
    if (assembly.plan.operators[index].uid == uid) return index;
  }
  return assembly.plan.operators.size();
}

/// Replaces the handles' location indices, which count within the task, by `numbers`. False if one is
/// outside of the task's locations.
bool renumber(OperatorSubtaskSnapshot& snapshot, const std::vector<std::uint32_t>& numbers) {
  bool valid = true;
  const auto renumber_all = [&](auto& handles) {
    for (auto& handle : handles) {
      valid = valid && handle.location < numbers.size();
      if (valid) handle.location = numbers[handle.location];
    }
  };
  renumber_all(snapshot.keyed);
  renumber_all(snapshot.operator_states);
  renumber_all(snapshot.channels);
  return valid;
}

/// Adds declarations whose name is new: subtasks may have registered different states so far.
void merge_declarations(std::vector<StateDeclaration>& into, std::vector<StateDeclaration> from) {
  for (auto& declaration : from) {
    if (std::ranges::find(into, declaration.name, &StateDeclaration::name) == into.end())
      into.push_back(std::move(declaration));
  }
}

Status add_share(const Assembly& assembly, const ExecutionId& execution, TaskSnapshot share) {
  const std::string task = "task " + to_string(execution);
  auto& locations = assembly.metadata.locations;
  std::vector<std::uint32_t> numbers;
  for (auto& location : share.locations) {
    const auto next = static_cast<std::uint32_t>(locations.size());
    if (location.shared) {
      const auto [known, is_new] = assembly.shared.emplace(location.file, next);
      numbers.push_back(known->second);
      if (!is_new) {
        if (locations[known->second] != location)
          return error(Errc::corruption, task + " acknowledged the shared file '" + location.file +
                                             "' as another one than another task");
        continue;
      }
    } else {
      numbers.push_back(next);
    }
    locations.push_back(std::move(location));
  }
  std::set<std::size_t> seen;
  for (auto& part : share.operators) {
    const std::string what = task + " acknowledged operator '" + part.uid + "'";
    const auto index = find_operator(assembly, execution.vertex, part.uid);
    if (index == assembly.plan.operators.size())
      return error(Errc::corruption, what + ", which it does not run");
    if (!seen.insert(index).second) return error(Errc::corruption, what + " twice");
    if (part.snapshot.subtask != execution.subtask) {
      return error(Errc::corruption, what + " as subtask " + std::to_string(part.snapshot.subtask));
    }
    if (!renumber(part.snapshot, numbers))
      return error(Errc::corruption, what + " with a state handle outside of its locations");
    auto& whole = assembly.metadata.operators[index];
    merge_declarations(whole.states, std::move(part.states));
    whole.subtasks[execution.subtask] = std::move(part.snapshot);
  }
  return {};
}

/// The operators of `plan` with an empty snapshot for every subtask.
std::vector<OperatorSnapshot> empty_operators(const PlanDescription& plan) {
  std::vector<OperatorSnapshot> operators;
  operators.reserve(plan.operators.size());
  for (const auto& description : plan.operators) {
    auto& snapshot = operators.emplace_back();
    snapshot.uid = description.uid;
    snapshot.name = description.name;
    snapshot.generated_uid = description.generated_uid;
    snapshot.parallelism = description.parallelism;
    snapshot.max_parallelism = description.max_parallelism;
    snapshot.subtasks.resize(description.parallelism);
    for (std::uint32_t i = 0; i < description.parallelism; ++i) snapshot.subtasks[i].subtask = i;
  }
  return operators;
}

}  // namespace

PendingCheckpoint::PendingCheckpoint(Settings settings, const std::vector<ExecutionId>& awaited,
                                     std::vector<ExecutionId> finished)
    : settings_(std::move(settings)), missing_(awaited.size()), finished_(std::move(finished)) {
  for (const auto& execution : awaited) shares_.emplace(execution, std::nullopt);
  WEIR_ASSERT(missing_ > 0 && shares_.size() == missing_);
}

std::string PendingCheckpoint::name() const {
  const std::string number = std::to_string(id().value);
  if (is_final()) return "final checkpoint " + number;
  return (kind() == SnapshotKind::checkpoint ? "checkpoint " : "savepoint ") + number;
}

PendingCheckpoint::AcknowledgeResult PendingCheckpoint::acknowledge(const ExecutionId& execution,
                                                                    TaskSnapshot&& snapshot) {
  const auto share = shares_.find(execution);
  if (share == shares_.end()) return AcknowledgeResult::unknown;
  if (share->second) return AcknowledgeResult::duplicate;
  written_bytes_ += snapshot.written_bytes();
  share->second = std::move(snapshot);
  --missing_;
  return AcknowledgeResult::accepted;
}

void PendingCheckpoint::add(const CheckpointMetrics& metrics) {
  longest_.alignment_us = std::max(longest_.alignment_us, metrics.alignment_us);
  longest_.sync_us = std::max(longest_.sync_us, metrics.sync_us);
  longest_.async_us = std::max(longest_.async_us, metrics.async_us);
}

bool PendingCheckpoint::awaits(const ExecutionId& execution) const {
  const auto share = shares_.find(execution);
  return share != shares_.end() && !share->second;
}

std::vector<ExecutionId> PendingCheckpoint::missing() const {
  std::vector<ExecutionId> executions;
  for (const auto& [execution, share] : shares_) {
    if (!share) executions.push_back(execution);
  }
  return executions;
}

CheckpointProgress PendingCheckpoint::progress() const {
  return {id(),
          kind(),
          settings_.triggered_at_ms,
          static_cast<std::uint32_t>(shares_.size() - missing_),
          static_cast<std::uint32_t>(shares_.size()),
          written_bytes_};
}

Result<SnapshotMetadata> PendingCheckpoint::assemble(const JobId& job, const std::string& job_name,
                                                     const PlanDescription& plan,
                                                     const JobGraph& graph,
                                                     std::int64_t completed_at_ms) {
  WEIR_ASSERT(all_acknowledged());
  SnapshotMetadata metadata;
  metadata.kind = kind();
  metadata.job = job;
  metadata.job_name = job_name;
  metadata.checkpoint = id();
  metadata.epoch = settings_.fence.epoch;
  metadata.attempt = settings_.fence.attempt;
  metadata.triggered_at_ms = settings_.triggered_at_ms;
  metadata.completed_at_ms = completed_at_ms;
  metadata.operators = empty_operators(plan);
  std::map<std::string, std::uint32_t> shared;
  for (auto& [execution, share] : shares_) {
    WEIR_TRY(add_share({plan, graph, metadata, shared}, execution, std::move(*share)));
  }
  for (const auto& execution : finished_) {
    for (const auto index : graph.vertices[execution.vertex].operators)
      metadata.operators[index].subtasks[execution.subtask].finished = true;
  }
  WEIR_TRY(check_consistent(metadata));
  return metadata;
}

}  // namespace weir
