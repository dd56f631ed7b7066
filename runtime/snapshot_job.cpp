#include "runtime/snapshot_job.hpp"

#include <algorithm>
#include <utility>

#include "runtime/crash_reporter.hpp"
#include "state/thrown.hpp"

namespace weir {

namespace {

/// The index of `location` behind the first of `locations`, where it is added if it is new.
std::uint32_t add_location(std::vector<DataLocation>& locations, const DataLocation& location) {
  const auto known = std::find(locations.begin() + 1, locations.end(), location);
  const auto index = static_cast<std::uint32_t>(known - locations.begin());
  if (known == locations.end()) locations.push_back(location);
  return index;
}

}  // namespace

Result<TaskSnapshot> SnapshotJob::run() {
  Result<TaskSnapshot> result = write();
  if (result && writer_->cancelled())
    result = error(Errc::cancelled, "the checkpoint was given up");
  if (!result) writer_->discard();
  if (result)
    for (const FrozenOperator& frozen : operators_)
      if (frozen.keyed) frozen.keyed->payload_durable(result->locations.front());
  operators_.clear();  // releases the frozen views
  return result;
}

Result<TaskSnapshot> SnapshotJob::write() {
  TaskSnapshot snapshot;
  snapshot.locations.emplace_back();  // of the payload, once it is written
  for (FrozenOperator& frozen : operators_) {
    auto share = write_operator(frozen, snapshot.locations);
    if (!share) return error(share.error().code, frozen.label + ": " + share.error().what);
    snapshot.operators.push_back(std::move(*share));
  }
  WEIR_TRY_ASSIGN(location, writer_->finish());
  snapshot.locations.front() = std::move(location);
  return snapshot;
}

Result<OperatorShare> SnapshotJob::write_operator(FrozenOperator& frozen,
                                                  std::vector<DataLocation>& locations) {
  // Code that describes a type of the job, and functions that fold its state, may throw anything.
  const UserCode user_code(frozen.label, frozen.subtask);
  try {
    return write_share(frozen, locations);
  } catch (...) {
    return error(Errc::user_function_failed, "writing the state threw" + thrown_text());
  }
}

Result<OperatorShare> SnapshotJob::write_share(FrozenOperator& frozen,
                                               std::vector<DataLocation>& locations) {
  OperatorShare share;
  share.uid = frozen.uid;
  share.states = std::move(frozen.states);
  share.snapshot.subtask = frozen.subtask;
  share.snapshot.finished = frozen.finished;
  for (const OperatorStateStore::Frozen& state : frozen.operator_states) {
    writer_->begin_state(state.state);
    OperatorStateHandle& handle = share.snapshot.operator_states.emplace_back();
    handle.state = state.state;
    handle.offset = writer_->position();
    handle.length = state.payload.size();
    handle.checksum = hash_bytes(state.payload);
    handle.elements = state.offsets;
    WEIR_TRY(writer_->append(state.payload));
  }
  if (frozen.keyed) {
    WEIR_TRY_ASSIGN(written, frozen.keyed->run(*writer_));
    // A task writes one payload, and operators of a chain may take the same file over.
    std::vector<std::uint32_t> numbers{0};
    for (const DataLocation& reused : written.reused)
      numbers.push_back(add_location(locations, reused));
    for (KeyedStateHandle& handle : written.handles) handle.location = numbers.at(handle.location);
    share.snapshot.keyed = std::move(written.handles);
  }
  return share;
}

}  // namespace weir
