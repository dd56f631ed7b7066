#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "state/checkpoint_storage.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// One state of one operator, all its subtasks together.
struct StateName {
  std::string operator_uid;
  std::string state;
  auto operator<=>(const StateName&) const = default;
};
WEIR_FIELDS(StateName, operator_uid, state)

/// What one key has in one state, as JSON.
struct StateEntry {
  std::string key;  ///< the key, and behind it the time of a timer or the map key
  std::string
      value;  ///< what a state with a time to live adds, the time of the last access, is left out
  auto operator<=>(const StateEntry&) const = default;
};
WEIR_FIELDS(StateEntry, key, value)

/// The keyed state of a savepoint, in a form that does not depend on backend, parallelism and time: what two
/// runs of one job must have alike. Timers that go by the clock and operator state are not part of it: how those
/// are dealt out is nobody's promise.
using SnapshotContents = std::map<StateName, std::set<StateEntry>>;

/// Reads the canonical savepoint in `directory`. Lists are compared as what is in them, in any order, unless
/// `ordered_lists`. Errors: as `verify_snapshot`; `unsupported` if it is not canonical. May block.
[[nodiscard]] Result<SnapshotContents> read_contents(CheckpointStorage& storage,
                                                     const std::string& directory,
                                                     bool ordered_lists = false);

/// Where `found` first differs from `expected`, as a sentence that names operator, state, key and both values; none
/// if they are equal. Of operators whose event-time timers differ nothing is compared: their watermark, which depends on
/// how the input is dealt out until it ends, has not come as far.
[[nodiscard]] std::optional<std::string> first_difference(const SnapshotContents& found,
                                                          const SnapshotContents& expected);

}  // namespace weir
