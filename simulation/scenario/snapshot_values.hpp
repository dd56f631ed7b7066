#pragma once

#include <map>
#include <string>
#include <utility>

#include "state/checkpoint_storage.hpp"
#include "state/result.hpp"

namespace weir {

/// One state of one operator, of all subtasks together.
struct StateValues {
  bool keyed = false;
  /// JSON. Keyed: an object from keys to values. Else a list of the elements, by subtask.
  std::string json;
  /// Why the values are not known, although the snapshot is whole; empty if they are.
  std::string unreadable;
};

/// What a snapshot holds, for people and tests.
struct SnapshotValues {
  std::uint64_t checkpoint = 0;
  /// By uid of the operator and name of the state.
  std::map<std::pair<std::string, std::string>, StateValues> states;
};

/// Verifies every byte of the snapshot in `directory` and shows its state as JSON. A key is the text of its
/// JSON, without quotes if it is a string. Values of map state are objects, those of lists are lists,
/// timers are lists of times; what has a time to live is shown without it. Segments and database files are
/// unreadable here: a canonical savepoint has none. Errors: as `verify_snapshot`; `corruption`. Threads:
/// any; may block.
[[nodiscard]] Result<SnapshotValues> read_snapshot_values(CheckpointStorage& storage,
                                                          const std::string& directory);

}  // namespace weir
