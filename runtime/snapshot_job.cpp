#include "runtime/snapshot_job.hpp"

#include <exception>

namespace weir {

Result<TaskSnapshot> SnapshotJob::run() {
  Result<TaskSnapshot> result = write();
  if (result && writer_->cancelled())
    result = error(Errc::cancelled, "the checkpoint was given up");
  if (!result) writer_->discard();
  operators_.clear();  // releases the frozen views
  return result;
}

Result<TaskSnapshot> SnapshotJob::write() {
  TaskSnapshot snapshot;
  for (FrozenOperator& frozen : operators_) {
    auto share = write_operator(frozen);
    if (!share) return error(share.error().code, frozen.label + ": " + share.error().what);
    snapshot.operators.push_back(std::move(*share));
  }
  WEIR_TRY_ASSIGN(location, writer_->finish());
  // Every handle points to location 0: a task writes one payload.
  snapshot.locations.push_back(std::move(location));
  return snapshot;
}

Result<OperatorShare> SnapshotJob::write_operator(FrozenOperator& frozen) {
  // Code that describes a type of the job may throw anything.
  try {
    return write_share(frozen);
  } catch (const std::exception& e) {
    return error(Errc::user_function_failed, std::string("writing the state threw: ") + e.what());
  } catch (...) {
    return error(Errc::user_function_failed,
                 "writing the state threw something that is no std::exception");
  }
}

Result<OperatorShare> SnapshotJob::write_share(FrozenOperator& frozen) {
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
    WEIR_TRY_ASSIGN(handles, frozen.keyed->run(*writer_));
    share.snapshot.keyed = std::move(handles);
  }
  return share;
}

}  // namespace weir
