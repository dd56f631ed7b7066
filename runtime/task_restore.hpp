#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/codec.hpp"
#include "state/ids.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// One operator state that one subtask starts from: a handle, whole, and which of its elements are the
/// subtask's.
struct OperatorStateRestore {
  OperatorStateHandle handle;
  std::vector<std::uint32_t> assigned;  ///< indices into `handle.elements`, ascending
};
WEIR_FIELDS(OperatorStateRestore, handle, assigned)

/// State of one operator that one subtask starts from.
struct OperatorRestore {
  std::string uid;
  bool finished = false;  ///< the operator had finished and does not run again
  std::vector<StateDeclaration> states;
  /// Cut down to the subtask's key groups where they can be told apart. Files of a database come whole, those of
  /// one subtask behind each other.
  std::vector<KeyedStateHandle> keyed;
  std::vector<OperatorStateRestore> operator_states;
};
WEIR_FIELDS(OperatorRestore, uid, finished, states, keyed, operator_states)

/// What one subtask starts from; `location` indices count within `locations`.
struct TaskRestore {
  CheckpointId checkpoint;
  JobId job;  ///< that took the snapshot
  std::string
      directory;  ///< of the snapshot, absolute; files of `locations` lie here, or are shared
  std::vector<DataLocation> locations;
  std::vector<OperatorRestore> operators;
};
WEIR_FIELDS(TaskRestore, checkpoint, job, directory, locations, operators)

}  // namespace weir
